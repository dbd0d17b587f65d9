import CKernels

#if canImport(Glibc)
    import Glibc
#endif

/// cos and sin of every position, `[positions, pairs]`, filled as far as positions have been seen: a long context's
/// table takes no memory until it is used.
package final class CPURotation {
    let pairs: Int
    let maxPositions: Int
    private let inverseFrequencies: [Float]
    private let scale: Float
    private let cosines: CPUMemory
    private let sines: CPUMemory
    private var filled = 0

    init(inverseFrequencies: [Float], scale: Float, maxPositions: Int) throws {
        pairs = inverseFrequencies.count
        self.maxPositions = maxPositions
        self.inverseFrequencies = inverseFrequencies
        self.scale = scale
        cosines = try CPUMemory(bytes: maxPositions * pairs * 4, for: "a rotation table")
        sines = try CPUMemory(bytes: maxPositions * pairs * 4, for: "a rotation table")
    }

    /// Positions are filled by as many at a time.
    private static let step = 256

    /// Makes positions `0..<count` usable.
    func fill(upTo count: Int) {
        precondition(count <= maxPositions, "position \(count - 1) is beyond the rotation's \(maxPositions)")
        guard count > filled else { return }
        let end = min(maxPositions, (count + Self.step - 1) / Self.step * Self.step)
        for position in filled..<end {
            for (pair, frequency) in inverseFrequencies.enumerated() {
                // The angle is rounded to float32 as PyTorch's float32 rotary embeddings round it.
                let angle = Double(Float(position) * frequency)
                cosines.floats[position * pairs + pair] = Float(cos(angle)) * scale
                sines.floats[position * pairs + pair] = Float(sin(angle)) * scale
            }
        }
        filled = end
    }

    var kernel: mr_rotation {
        mr_rotation(cosines: cosines.floats, sines: sines.floats, pairs: Int32(pairs))
    }
}

/// Paged keys and values.
package final class CPUCache {
    let shape: CacheShape
    private let type: CacheType
    private let memory: CPUMemory
    /// Blocks before it have memory.
    private var supplied = 0

    init(_ shape: CacheShape, _ type: CacheType, bytes: Int) throws {
        self.shape = shape
        self.type = type
        memory = try CPUMemory(bytes: bytes, for: "the KV cache")
    }

    var kernel: mr_cache {
        mr_cache(
            data: memory.base, type: type.kernel, layers: Int32(shape.layers), blocks: Int32(shape.blockCount),
            block_size: Int32(shape.blockSize), kv_heads: Int32(shape.keyValueHeads),
            head_width: Int32(shape.headWidth))
    }

    /// Sees to it that blocks `0..<end` have memory, so that no thread waits for it alone.
    func supply(upTo end: Int, device: CPUDevice) {
        guard end > supplied else { return }
        var kernel = self.kernel
        supplied = Int(mr_supply_blocks(device.engine, &kernel, Int32(supplied), Int32(end)))
    }

    /// Stores NaN as every key and value of `blocks` in all layers, so that tests can show that nothing reads slots
    /// that were not written since.
    func poison(headsOf blocks: Range<Int>, device: CPUDevice) {
        var kernel = self.kernel
        mr_poison_blocks(device.engine, &kernel, Int32(blocks.lowerBound), Int32(blocks.count))
    }
}
