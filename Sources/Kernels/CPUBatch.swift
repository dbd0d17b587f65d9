import CKernels

/// The step's indices in memory that does not move while kernels point into it. Grows, never shrinks.
final class CPUBatch {
    private(set) var rowCount = 0
    private(set) var logitRowCount = 0
    /// One past the largest position.
    private(set) var positionEnd = 0
    /// One past the largest slot.
    private(set) var slotEnd = 0
    /// One past the largest token id.
    private(set) var tokenEnd = 0
    /// One past the largest block that attention may read.
    private(set) var blockEnd = 0

    private var indices: CPUMemory?
    private var spans: CPUMemory?

    /// Copies the batch and returns what the kernels take. Traps where the batch contradicts itself.
    func load(_ batch: PackedBatch) throws -> mr_batch {
        let rows = batch.rowCount
        precondition(
            batch.positions.count == rows && batch.slots.count == rows, "a batch's arrays differ in length")
        precondition(batch.tokens.allSatisfy { $0 >= 0 } && batch.positions.allSatisfy { $0 >= 0 })
        precondition(batch.slots.allSatisfy { $0 >= 0 } && batch.blockTables.allSatisfy { $0 >= 0 })
        precondition(
            batch.logitRows.allSatisfy { $0 >= 0 && $0 < rows }, "a logit row lies outside the batch")
        rowCount = rows
        logitRowCount = batch.logitRows.count
        positionEnd = Int(batch.positions.max() ?? -1) + 1
        slotEnd = Int(batch.slots.max() ?? -1) + 1
        tokenEnd = Int(batch.tokens.max() ?? -1) + 1
        blockEnd = Int(batch.blockTables.max() ?? -1) + 1

        let arrays = [batch.tokens, batch.positions, batch.slots, batch.blockTables, batch.logitRows]
        let ints = try Self.reserve(&indices, bytes: arrays.reduce(0) { $0 + $1.count } * 4)
        var at = ints.assumingMemoryBound(to: Int32.self)
        let starts = arrays.map { array in
            let start = at
            array.withUnsafeBufferPointer {
                if let base = $0.baseAddress { start.update(from: base, count: $0.count) }
            }
            at += array.count
            return UnsafePointer(start)
        }
        let stride = MemoryLayout<mr_sequence>.stride
        let sequences = try Self.reserve(&spans, bytes: batch.sequences.count * stride)
            .assumingMemoryBound(to: mr_sequence.self)
        for (index, sequence) in batch.sequences.enumerated() {
            precondition(
                sequence.rows.lowerBound >= 0 && sequence.rows.upperBound <= rows && sequence.start >= 0)
            precondition(
                sequence.blockTableOffset >= 0 && sequence.blockTableOffset <= batch.blockTables.count)
            sequences[index] = mr_sequence(
                first_row: Int32(sequence.rows.lowerBound), row_count: Int32(sequence.rows.count),
                start: Int32(sequence.start), table_offset: Int32(sequence.blockTableOffset))
        }
        return mr_batch(
            rows: Int32(rows), tokens: starts[0], positions: starts[1], slots: starts[2],
            sequence_count: Int32(batch.sequences.count), sequences: sequences, block_tables: starts[3],
            logit_rows: starts[4])
    }

    private static func reserve(_ memory: inout CPUMemory?, bytes: Int) throws -> UnsafeMutableRawPointer {
        if let memory, memory.bytes >= bytes { return memory.base }
        let grown = try CPUMemory(bytes: max(4096, bytes * 2), for: "a batch's indices")
        memory = grown
        return grown.base
    }
}
