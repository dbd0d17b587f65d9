import DeviceChecks
import Foundation
import Kernels
import Testing

/// Checkpoint rows on the emulation: every tensor type against reference blocks.
@Suite struct TableTests {
    static let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let folders: [URL] = {
        let given = ProcessInfo.processInfo.environment["MILLRACE_REFERENCE"].map { URL(filePath: $0) }
        let roots = [
            checkout.appending(path: "Tests/Fixtures"), given ?? checkout.appending(path: "../shared/reference"),
        ]
        return roots.map { $0.appending(path: "quant") }.filter {
            FileManager.default.fileExists(atPath: $0.path)
        }
    }()

    /// A tensor of few columns and its exact values.
    struct Stored: Sendable, CustomTestStringConvertible {
        var type: TensorType
        var bytes: [UInt8]
        var values: [Float]
        var rows: Int
        var folder: String
        var columns: Int { values.count / rows }
        var rowBytes: Int { bytes.count / rows }
        var testDescription: String { "\(type.name) in \(folder)" }
    }

    static let tensors: [Stored] = folders.flatMap { folder in
        TensorType.allCases.compactMap { type in
            let names = ["\(type.name).bin", "\(type.name).blocks.bin"]
            let data = names.compactMap { try? Data(contentsOf: folder.appending(path: $0)) }.first
            guard let data, let exact = try? Data(contentsOf: folder.appending(path: "\(type.name).f32")) else {
                return nil
            }
            let values = exact.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            // Two blocks a row.
            let columns = max(32, 2 * type.blockElements)
            return Stored(
                type: type, bytes: [UInt8](data), values: values, rows: values.count / columns,
                folder: folder.deletingLastPathComponent().lastPathComponent)
        } + [floats(folder)]
    }

    private static func floats(_ folder: URL) -> Stored {
        var random = RandomNumbers(seed: 5)
        let values = random.floats(40 * 50)
        return Stored(
            type: .f32, bytes: values.withUnsafeBytes { Array($0) }, values: values, rows: 40,
            folder: folder.lastPathComponent)
    }

    @Test func everyTypeIsTried() {
        #expect(Set(Self.tensors.map(\.type)) == Set(TensorType.allCases))
    }

    @Test(arguments: tensors)
    func embeddingsAreLookedUp(_ stored: Stored) throws {
        let tokens: [Int32] = [Int32(stored.rows - 1), 0, 3]
        let columns = stored.columns
        let x = EmulatedBuffer<Float>(count: tokens.count * columns)
        try emulate(
            "mr_embed", grid: (tokens.count, 1, 1), block: 128, .buffer(EmulatedBuffer(stored.bytes)),
            .int(Int(stored.type.rawValue)), .longLong(stored.rowBytes), .buffer(EmulatedBuffer(tokens)), .float(1),
            .buffer(x), .int(columns))
        let exact = picked(tokens.map(Int.init), of: stored.values, width: columns)
        #expect(areSame(x.values, exact))

        // Scaled, then positions added from the rows after the first.
        let sum = EmulatedBuffer<Float>(count: tokens.count * columns)
        try emulate(
            "mr_embed", grid: (tokens.count, 2, 1), block: 128, .buffer(EmulatedBuffer(stored.bytes)),
            .int(Int(stored.type.rawValue)), .longLong(stored.rowBytes), .buffer(EmulatedBuffer(tokens)), .float(2.5),
            .buffer(sum), .int(columns))
        try emulate(
            "mr_add_positions", grid: (tokens.count, 1, 1), block: 128, .buffer(EmulatedBuffer(stored.bytes)),
            .int(Int(stored.type.rawValue)), .longLong(stored.rowBytes), .buffer(EmulatedBuffer<Int32>([0, 1, 2])),
            .int(1), .buffer(sum), .int(columns))
        let moved = picked([1, 2, 3], of: stored.values, width: columns)
        let sums = exact.indices.map { (at: Int) -> Float in exact[at] * 2.5 + moved[at] }
        #expect(areSame(sum.values, sums))
    }

    /// Tails of any width, for types whose rows may end anywhere.
    @Test(arguments: [1, 5, 50, 1030])
    func rowsOfAnyWidth(_ width: Int) throws {
        var random = RandomNumbers(seed: UInt64(width))
        let values = random.floats(3 * width).map(BFloat16.init)
        let x = EmulatedBuffer<Float>(count: 3 * width)
        try emulate(
            "mr_embed", grid: (3, 1, 1), block: 128, .buffer(EmulatedBuffer(values)), .int(30), .longLong(2 * width),
            .buffer(EmulatedBuffer<Int32>([2, 1, 0])), .float(1), .buffer(x), .int(width))
        let wanted = picked([2, 1, 0], of: values.map { $0.float }, width: width)
        #expect(x.values == wanted)
    }

    @Test(arguments: tensors)
    func matricesAreWidened(_ stored: Stored) throws {
        let (rows, columns) = (stored.rows, stored.columns)
        let order: [Int32] = (0..<rows).map { Int32(($0 * 3 + 1) % rows) }.reversed()
        for order in [nil, order] {
            let out = EmulatedBuffer<BFloat16>(count: rows * columns)
            try emulate(
                "mr_dequantize", grid: (rows, 2, 1), block: 128, .buffer(EmulatedBuffer(stored.bytes)),
                .int(Int(stored.type.rawValue)), .longLong(stored.rowBytes), .buffer(order.map { EmulatedBuffer($0) }),
                .int(0), .buffer(out), .int(rows), .int(columns))
            let from = order?.map(Int.init) ?? Array(0..<rows)
            let exact = picked(from, of: stored.values, width: columns).map(BFloat16.init)
            #expect(out.values == exact)
        }
        // As [inputs, outputs]: the tensor's columns are the outputs, here all but the first, backwards.
        let outputs: [Int32] = (1..<Int32(columns)).reversed()
        let turned = EmulatedBuffer<BFloat16>(count: outputs.count * rows)
        try emulate(
            "mr_dequantize", grid: ((outputs.count + 31) / 32, (rows + 31) / 32, 1), block: 128,
            .buffer(EmulatedBuffer(stored.bytes)), .int(Int(stored.type.rawValue)), .longLong(stored.rowBytes),
            .buffer(EmulatedBuffer(outputs)), .int(1), .buffer(turned), .int(outputs.count), .int(rows))
        var exact: [BFloat16] = []
        for output in outputs {
            for row in 0..<rows { exact.append(BFloat16(stored.values[row * columns + Int(output)])) }
        }
        #expect(turned.values == exact)
    }
}
