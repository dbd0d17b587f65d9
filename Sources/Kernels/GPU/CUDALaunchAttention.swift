/// Launch geometry of attention.cu, and of attention_any.cu where the former has no instance for a head width.
///
/// A step's sequences of at most `decodeRows` rows are done by the decode kernel (and its merge), the others by the
/// prefill kernel. A row's result is the same bits either way, so where the line is drawn only concerns speed.
package struct CUDALaunchAttention: Sendable {
    package let headWidth: Int
    /// Query heads for each kv head.
    package let group: Int
    package let keyValueHeads: Int
    /// Of the device.
    package let multiprocessors: Int
    /// Shared memory that a block may have.
    package let sharedLimit: Int
    /// Of one element of the cache: 2 (bfloat16) or 1 (8-bit floats, MR_CACHE_FP8).
    package let cacheBytes: Int

    package init(
        headWidth: Int, group: Int, keyValueHeads: Int, multiprocessors: Int = 132, sharedLimit: Int = 99 << 10,
        cacheBytes: Int = 2
    ) {
        self.headWidth = headWidth
        self.group = group
        self.keyValueHeads = keyValueHeads
        self.multiprocessors = multiprocessors
        self.sharedLimit = sharedLimit
        self.cacheBytes = cacheBytes
    }

    /// Keys of a split: AttentionSplits::SPLIT.
    package static let splitKeys = 64

    /// Whether attention.cu has this head width; attention_any.cu takes all up to 512.
    package var hasTensorCores: Bool { headWidth % 16 == 0 && headWidth <= 256 }

    private var isWide: Bool { headWidth > 128 }
    /// Queries and earlier output of one warp, where they do not fit its registers.
    private var warpBytes: Int { isWide ? 16 * (headWidth + 8) * 2 + headWidth * 16 * 4 : 0 }
    /// Keys and values on their way; narrow ones are widened to a stage more.
    private func ringBytes(stages: Int, keys: Int) -> Int {
        let wide = keys * (headWidth + 8) * 2
        return cacheBytes == 2 ? stages * wide : stages * keys * headWidth + wide
    }

    // MARK: Decode

    /// Warps that a multiprocessor holds at once.
    private static let residentWarps = 8

    /// Splits that a decode launch covers, for sequences of up to `keys` keys: 1 (each warp walks all of its
    /// sequence's keys) where there are two rounds of warps even so.
    package func splits(sequences: Int, maxRows: Int = 1, keys: Int) -> Int {
        let warps = sequences * keyValueHeads * rowTiles(maxRows)
        guard warps < 2 * Self.residentWarps * multiprocessors else { return 1 }
        return max(1, (keys + Self.splitKeys - 1) / Self.splitKeys)
    }

    private func rowTiles(_ maxRows: Int) -> Int { (maxRows * group + 15) / 16 }

    /// Float32 elements of `partial` and `stats`; nothing is written there with one split.
    package func workspace(sequences: Int, maxRows: Int = 1, splits: Int) -> (partial: Int, stats: Int) {
        guard splits > 1 else { return (0, 0) }
        let results = sequences * maxRows * keyValueHeads * group * splits
        return (results * headWidth, results * 2)
    }

    package func decode(sequences: Int, maxRows: Int = 1, splits: Int) -> CUDALaunchShape {
        CUDALaunchShape(
            "mr_attention_decode", grid: (splits, keyValueHeads * rowTiles(maxRows), sequences), block: 32,
            sharedBytes: ringBytes(stages: isWide ? 4 : 6, keys: 16) + warpBytes)
    }

    /// Only after a decode with more than one split.
    package func merge(sequences: Int, maxRows: Int = 1) -> CUDALaunchShape {
        CUDALaunchShape(
            "mr_attention_merge", grid: (keyValueHeads * group, sequences * maxRows, 1),
            block: (headWidth + 31) / 32 * 32)
    }

    // MARK: Prefill

    /// Warps of a prefill block; each has 16 packed rows.
    package var prefillWarps: Int {
        [4, 2].first { prefillBytes(warps: $0) <= sharedLimit } ?? 1
    }

    private func prefillBytes(warps: Int) -> Int {
        ringBytes(stages: 3, keys: isWide ? 32 : 64) + warps * warpBytes
    }

    /// The prefill kernel's `tiles`: (sequence, first packed row) of each, longest first within a sequence.
    /// - Parameters:
    ///   - rowCounts: rows of each of the batch's sequences.
    ///   - decodeRows: sequences of at most as many are left to the decode kernel.
    package func prefillTiles(rowCounts: some Sequence<Int>, decodeRows: Int) -> [Int32] {
        let step = 16 * prefillWarps
        var tiles: [Int32] = []
        for (sequence, rows) in rowCounts.enumerated() where rows > decodeRows {
            for first in stride(from: 0, to: rows * group, by: step).reversed() {
                tiles.append(Int32(sequence))
                tiles.append(Int32(first))
            }
        }
        return tiles
    }

    /// - Parameter tiles: pairs in the list of `prefillTiles`, at least 1.
    package func prefill(tiles: Int) -> CUDALaunchShape {
        CUDALaunchShape(
            "mr_attention_prefill", grid: (tiles, keyValueHeads, 1), block: 32 * prefillWarps,
            sharedBytes: prefillBytes(warps: prefillWarps))
    }

    // MARK: Any head width

    package func any(rows: Int) -> CUDALaunchShape {
        CUDALaunchShape("mr_attention_any", grid: (keyValueHeads * group, rows, 1), block: 32)
    }
}
