/// Who holds which block of the KV cache, and which full blocks can be found again by their tokens
/// (the prefix cache).
///
/// A block is in one of three places: **free**; **referenced** by one block table or more; or
/// **evictable**, published in the prefix cache but referenced by none, given up in the order of
/// last use when free blocks run out.
///
/// A full block is published under its parent (the block before it), its tokens and a salt. The
/// index maps a chained hash to a block, and a hit compares parent, tokens and salt, so equal
/// hashes can never give K/V of other tokens. By induction over parents a published block stands
/// for one whole prefix, and no two blocks stand for the same. Whoever references a block
/// references its parents, and `release` is called from the last block of a table to the first, so
/// children always come up for eviction before their parents and no block is ever published under
/// one that is gone.
package struct BlockManager: Sendable {
    package struct Block: Sendable {
        /// Block tables that it is in.
        package var references = 0
        package var isPublished = false
        /// Written by a step that is not committed yet.
        package var isPending = false
        /// The block before it; `root` for the first of a sequence. Like the next two, of published
        /// blocks only.
        package var parent = root
        package var salt: UInt64 = 0
        package var hash: UInt64 = 0
        /// Neighbours among evictable blocks.
        fileprivate(set) var older = none
        fileprivate(set) var newer = none
    }

    package enum Publication: Equatable {
        case published
        /// This other block stands for the same prefix already.
        case duplicate(Int)
        /// The index holds something else under the same hash; the block stays private.
        case refused
    }

    /// Parent of the first block of a sequence.
    package static let root = -1
    static let none = -1

    package let blockSize: Int
    package let blockCount: Int
    package private(set) var blocks: [Block]
    /// Blocks given up by the prefix cache so far.
    package private(set) var evictions = 0
    package private(set) var evictableCount = 0
    /// `[blockCount, blockSize]` tokens of published blocks.
    private(set) var tokens: [Int32]
    private(set) var free: [Int]
    private(set) var index: [UInt64: Int] = [:]
    private(set) var pending: [Int] = []
    private(set) var oldest = none
    private(set) var newest = none
    private let hashMask: UInt64

    /// - Parameter hashBits: bits of the hash that are used; tests make hashes collide with few.
    package init(blockSize: Int, blockCount: Int, hashBits: Int = 64) {
        precondition(blockSize > 0 && blockCount > 0 && (1...64).contains(hashBits))
        self.blockSize = blockSize
        self.blockCount = blockCount
        blocks = Array(repeating: Block(), count: blockCount)
        tokens = Array(repeating: 0, count: blockCount * blockSize)
        free = Array((0..<blockCount).reversed())
        hashMask = .max >> UInt64(64 - hashBits)
    }

    package var freeCount: Int { free.count }
    /// Blocks that `allocate` can still give.
    package var availableCount: Int { free.count + evictableCount }
    package var usedCount: Int { blockCount - availableCount }

    // MARK: Holding blocks

    /// A block of the caller's own, referenced once; nil when all are referenced.
    package mutating func allocate() -> Int? {
        let block: Int
        if let last = free.popLast() {
            block = last
        } else if oldest != Self.none {
            block = oldest
            unlink(block)
            unpublish(block)
            evictions += 1
        } else {
            return nil
        }
        blocks[block].references = 1
        return block
    }

    /// One more block table has this published block.
    package mutating func retain(_ block: Int) {
        precondition(blocks[block].isPublished, "only published blocks are shared")
        if blocks[block].references == 0 { unlink(block) }
        blocks[block].references += 1
    }

    /// One block table fewer has it. A table is released from its last block to its first.
    package mutating func release(_ block: Int) {
        precondition(
            blocks[block].references > 0, "block \(block) is released more often than it was held")
        blocks[block].references -= 1
        guard blocks[block].references == 0 else { return }
        if blocks[block].isPublished { link(block) } else { free.append(block) }
    }

    // MARK: Prefix cache

    /// The published blocks that hold the first tokens of `prompt`, in order, `limit` of them at
    /// most. They are not retained: do that before anything else is allocated.
    package func longestPrefix(
        of prompt: [Int32], limit: Int, salt: UInt64, into found: inout [Int]
    ) {
        found.removeAll(keepingCapacity: true)
        var parent = Self.root
        while found.count < limit {
            let start = found.count * blockSize
            let hash = chainHash(parent: parent, prompt, start, salt)
            guard let block = index[hash], holds(block, parent: parent, prompt, start, salt) else {
                return
            }
            found.append(block)
            parent = block
        }
    }

    /// Makes a block, full of `prompt[start ..< start + blockSize]`, findable under its parent,
    /// which is published.
    /// - Parameter pending: its K/V are written by the step being planned; `settle` or `withdraw`
    ///   follows.
    package mutating func publish(
        _ block: Int, parent: Int, _ prompt: [Int32], _ start: Int, salt: UInt64,
        pending isPending: Bool
    ) -> Publication {
        precondition(blocks[block].references > 0 && !blocks[block].isPublished)
        precondition(parent == Self.root || blocks[parent].isPublished)
        let hash = chainHash(parent: parent, prompt, start, salt)
        if let other = index[hash] {
            return holds(other, parent: parent, prompt, start, salt) ? .duplicate(other) : .refused
        }
        index[hash] = block
        blocks[block].isPublished = true
        blocks[block].parent = parent
        blocks[block].salt = salt
        blocks[block].hash = hash
        for offset in 0..<blockSize { tokens[block * blockSize + offset] = prompt[start + offset] }
        if isPending {
            blocks[block].isPending = true
            pending.append(block)
        }
        return .published
    }

    /// The step that wrote the pending blocks is committed.
    package mutating func settle() {
        for block in pending { blocks[block].isPending = false }
        pending.removeAll(keepingCapacity: true)
    }

    /// The step that should have written the pending blocks came to nothing: they cannot be found
    /// any more.
    package mutating func withdraw() {
        for block in pending.reversed() {
            unpublish(block)
            guard blocks[block].references == 0 else { continue }
            unlink(block)
            free.append(block)
        }
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func unpublish(_ block: Int) {
        index[blocks[block].hash] = nil
        blocks[block].isPublished = false
        blocks[block].isPending = false
    }

    func holds(_ block: Int, parent: Int, _ prompt: [Int32], _ start: Int, _ salt: UInt64)
        -> Bool
    {
        guard blocks[block].parent == parent, blocks[block].salt == salt else { return false }
        for offset in 0..<blockSize
        where tokens[block * blockSize + offset] != prompt[start + offset] {
            return false
        }
        return true
    }

    /// Hash of the block's tokens chained to its parent's, two tokens a round (the finalizer of
    /// SplitMix64, Steele et al., https://doi.org/10.1145/2660193.2660195). It need not resist
    /// forgery: hits are compared.
    func chainHash(parent: Int, _ prompt: [Int32], _ start: Int, _ salt: UInt64) -> UInt64 {
        var hash =
            parent == Self.root ? Self.mix(salt) : blocks[parent].hash &+ 0x9E37_79B9_7F4A_7C15
        var position = start
        let end = start + blockSize
        while position + 1 < end {
            let low = UInt64(UInt32(bitPattern: prompt[position]))
            let high = UInt64(UInt32(bitPattern: prompt[position + 1]))
            hash = Self.mix(hash ^ (low | high << 32))
            position += 2
        }
        if position < end { hash = Self.mix(hash ^ UInt64(UInt32(bitPattern: prompt[position]))) }
        return hash & hashMask
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    // MARK: Order of eviction

    private mutating func link(_ block: Int) {
        blocks[block].older = newest
        blocks[block].newer = Self.none
        if newest == Self.none { oldest = block } else { blocks[newest].newer = block }
        newest = block
        evictableCount += 1
    }

    private mutating func unlink(_ block: Int) {
        let older = blocks[block].older
        let newer = blocks[block].newer
        if older == Self.none { oldest = newer } else { blocks[older].newer = newer }
        if newer == Self.none { newest = older } else { blocks[newer].older = older }
        evictableCount -= 1
    }
}
