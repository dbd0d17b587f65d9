import Testing
import TileEmulation

@testable import Kernels

/// An instruction set and compute type to test.
struct KernelSetting: Sendable, CustomTestStringConvertible {
    var instructionSet: CPUFeatures.InstructionSet
    var computeType: ComputeType
    var quantizesWeights = false
    var keepsQuantised = false
    /// The kernels for AMX, without it.
    var emulatesTiles = false
    var cacheType: CacheType?

    var testDescription: String {
        "\(instructionSet) \(computeType)\(quantizesWeights ? " int8" : "")\(keepsQuantised ? " stored" : "")"
            + (emulatesTiles ? " tiles" : "")
            + (cacheType.map { " \($0) cache" } ?? "")
    }

    /// All that this machine runs.
    static let all =
        CPUFeatures.available.flatMap { set in
            ComputeType.allCases.map { KernelSetting(instructionSet: set, computeType: $0) }
        } + emulated

    static let emulated =
        mr_can_emulate_tiles()
        ? [KernelSetting(instructionSet: .avx512bf16, computeType: .bfloat16, emulatesTiles: true)] : []

    /// All that multiply weights of bytes.
    static let bytes =
        CPUFeatures.available.filter(\.multipliesBytes).map { set in
            KernelSetting(instructionSet: set, computeType: .bfloat16, quantizesWeights: true)
        }
        + emulated.map {
            var setting = $0
            setting.quantizesWeights = true
            return setting
        }

    /// All, and again with a cache of bytes where that is possible.
    static let caches =
        all
        + all.filter { $0.computeType == .bfloat16 }.map {
            var setting = $0
            setting.cacheType = .int8
            return setting
        }

    /// `value` as matrix multiplications read it.
    func rounded(_ value: Float) -> Float { computeType == .float32 ? value : bfloat16(value) }
}

/// Round to nearest even, kept as float32.
func bfloat16(_ value: Float) -> Float {
    let bits = value.bitPattern
    return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
}

/// Heap memory behind a tensor.
final class TensorBytes {
    let buffer: UnsafeMutableRawBufferPointer

    init<T: BitwiseCopyable>(_ values: [T]) {
        buffer = .allocate(byteCount: max(4, values.count * MemoryLayout<T>.stride), alignment: 64)
        values.withUnsafeBytes { buffer.copyMemory(from: $0) }
    }

    deinit { buffer.deallocate() }
}

extension WeightTensor {
    /// A float32 tensor of its own memory.
    init(_ values: [Float], shape: [Int], name: String = "test") {
        let owner = TensorBytes(values)
        self.init(
            name: name, type: .f32, shape: shape, bytes: UnsafeRawBufferPointer(owner.buffer), owner: owner)
    }
}

extension PackedBatch {
    /// `rows` rows of one sequence of its own blocks from block 0, at positions from `start`.
    static func single(rows: Int, start: Int = 0, blockSize: Int = 16) -> PackedBatch {
        var batch = PackedBatch()
        batch.tokens = (0..<rows).map { Int32($0) }
        batch.positions = (0..<rows).map { Int32(start + $0) }
        batch.slots = batch.positions
        batch.sequences = [.init(rows: 0..<rows, start: start, blockTableOffset: 0)]
        batch.blockTables = (0..<(start + rows + blockSize - 1) / blockSize).map { Int32($0) }
        batch.logitRows = (0..<rows).map { Int32($0) }
        return batch
    }
}
