/// A step's batch in device memory: index arrays at fixed places, so that a graph recorded for one step serves others.
final class CUDABatch {
    /// Rows that a step can have; what is padded stays within.
    let maxRows: Int
    private let runtime: any CUDARuntime
    private var memory: CUDAMemory
    /// Two, taken in turn: a step may be loaded while the copy of the one before is still to be made.
    private var stagings: [UnsafeMutablePointer<Int32>]
    private var staging: UnsafeMutablePointer<Int32> { stagings[0] }
    private var tableCapacity: Int
    /// Grows each time the arrays move; graphs recorded before are void.
    private(set) var generation = 0

    private(set) var rows = 0
    private(set) var sequences = 0
    private(set) var logitRows = 0
    /// Positions of the longest sequence.
    private(set) var positionEnd = 0
    private(set) var tokenEnd = 0
    private(set) var slotEnd = 0
    private(set) var blockEnd = 0
    /// Most rows of one sequence.
    private(set) var longestRun = 0

    private enum Place: Int, CaseIterable {
        case tokens, chosen, positions, slots, rowStarts, rowCounts, starts, tableOffsets, logitRows, tables
    }

    init(_ runtime: any CUDARuntime, maxRows: Int) throws(DeviceError) {
        self.runtime = runtime
        self.maxRows = maxRows
        tableCapacity = 4096
        let bytes = Self.bytes(maxRows: maxRows, tables: tableCapacity)
        memory = try CUDAMemory(runtime, bytes: bytes, for: "a step's batch")
        stagings = try Self.makeStagings(runtime, bytes: bytes)
    }

    deinit { for staging in stagings { runtime.freeHost(staging) } }

    private static func makeStagings(
        _ runtime: any CUDARuntime, bytes: Int
    ) throws(DeviceError) -> [UnsafeMutablePointer<Int32>] {
        var made: [UnsafeMutablePointer<Int32>] = []
        for _ in 0..<2 {
            made.append(try runtime.allocateHost(bytes, for: "a step's batch").assumingMemoryBound(to: Int32.self))
        }
        return made
    }

    private static func bytes(maxRows: Int, tables: Int) -> Int { (Place.tables.rawValue * maxRows + tables) * 4 }

    private func address(_ place: Place) -> CUDAAddress {
        memory.address + CUDAAddress(place.rawValue * maxRows * 4)
    }

    var tokens: CUDAAddress { address(.tokens) }
    /// `PackedBatch.chosen`, where there are such.
    var chosen: CUDAAddress { address(.chosen) }
    var positions: CUDAAddress { address(.positions) }
    var slots: CUDAAddress { address(.slots) }
    var rowStarts: CUDAAddress { address(.rowStarts) }
    var rowCounts: CUDAAddress { address(.rowCounts) }
    var starts: CUDAAddress { address(.starts) }
    var tableOffsets: CUDAAddress { address(.tableOffsets) }
    var wanted: CUDAAddress { address(.logitRows) }
    var tables: CUDAAddress { address(.tables) }
    /// Of `loadTiles`; behind the block tables, so only until the next `load`.
    private(set) var tiles: CUDAAddress = 0

    /// Copies the batch over; the one before the last must be on the device by then. Rows from `batch.rowCount` to
    /// `paddedRows` and sequences to `paddedSequences` are padding.
    func load(_ batch: PackedBatch, paddedRows: Int, paddedSequences: Int) throws(DeviceError) {
        precondition(paddedRows <= maxRows && paddedSequences <= maxRows)
        // Room for a list of tiles behind the tables.
        let needed = batch.blockTables.count + 8 * maxRows
        if needed > tableCapacity { try growTables(needed) }
        note(batch)
        stagings.swapAt(0, 1)
        put(batch.chosen, .chosen, padded: batch.chosen.count, with: -1)
        put(batch.tokens, .tokens, padded: paddedRows, with: 0)
        put(batch.positions, .positions, padded: paddedRows, with: 0)
        put(batch.slots, .slots, padded: paddedRows, with: -1)
        put(batch.sequences.map { Int32($0.rows.lowerBound) }, .rowStarts, padded: paddedSequences, with: 0)
        put(batch.sequences.map { Int32($0.rows.count) }, .rowCounts, padded: paddedSequences, with: 0)
        put(batch.sequences.map { Int32($0.start) }, .starts, padded: paddedSequences, with: 0)
        put(batch.sequences.map { Int32($0.blockTableOffset) }, .tableOffsets, padded: paddedSequences, with: 0)
        put(batch.logitRows, .logitRows, padded: batch.logitRows.count, with: 0)
        put(batch.blockTables, .tables, padded: batch.blockTables.count, with: 0)
        let used = (Place.tables.rawValue * maxRows + batch.blockTables.count) * 4
        try runtime.upload(UnsafeRawBufferPointer(start: staging, count: used), to: memory.address)
    }

    /// Copies a list that kernels of this step read, behind the block tables.
    func loadTiles(_ values: [Int32], tables count: Int) throws(DeviceError) {
        // 16 bytes apart, for kernels that read in pairs.
        let first = Place.tables.rawValue * maxRows + (count + 3) / 4 * 4
        precondition(count + values.count + 4 <= tableCapacity, "the list does not fit")
        (staging + first).update(from: values, count: values.count)
        tiles = memory.address + CUDAAddress(first * 4)
        try runtime.upload(UnsafeRawBufferPointer(start: staging + first, count: values.count * 4), to: tiles)
    }

    private func put(_ values: [Int32], _ place: Place, padded: Int, with padding: Int32) {
        let target = staging + place.rawValue * maxRows
        values.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { target.update(from: base, count: source.count) }
        }
        for index in values.count..<max(padded, values.count) { target[index] = padding }
    }

    private func note(_ batch: PackedBatch) {
        rows = batch.rowCount
        sequences = batch.sequences.count
        logitRows = batch.logitRows.count
        precondition(rows <= maxRows, "\(rows) rows exceed \(maxRows)")
        precondition(batch.logitRows.allSatisfy { (0..<rows).contains(Int($0)) }, "a logit row outside the batch")
        precondition(batch.chosen.isEmpty || batch.chosen.count == rows)
        precondition(batch.tokens.allSatisfy { $0 >= 0 } && batch.positions.allSatisfy { $0 >= 0 })
        precondition(batch.slots.allSatisfy { $0 >= 0 } && batch.blockTables.allSatisfy { $0 >= 0 })
        positionEnd = Int(batch.positions.max() ?? -1) + 1
        tokenEnd = Int(batch.tokens.max() ?? -1) + 1
        slotEnd = Int(batch.slots.max() ?? -1) + 1
        blockEnd = Int(batch.blockTables.max() ?? -1) + 1
        longestRun = batch.sequences.map(\.rows.count).max() ?? 0
    }

    private func growTables(_ count: Int) throws(DeviceError) {
        var capacity = tableCapacity
        while capacity < count { capacity *= 2 }
        let bytes = Self.bytes(maxRows: maxRows, tables: capacity)
        try runtime.synchronize()
        memory = try CUDAMemory(runtime, bytes: bytes, for: "a step's block tables")
        for staging in stagings { runtime.freeHost(staging) }
        stagings = []
        stagings = try Self.makeStagings(runtime, bytes: bytes)
        tableCapacity = capacity
        generation += 1
    }
}
