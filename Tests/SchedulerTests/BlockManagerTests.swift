import Scheduler
import Testing

@Suite struct BlockManagerTests {
    /// A manager of blocks of two tokens in which `prompts` were computed and released, one after
    /// another.
    private func manager(blocks: Int, holding prompts: [[Int32]], hashBits: Int = 64)
        -> BlockManager
    {
        var manager = BlockManager(blockSize: 2, blockCount: blocks, hashBits: hashBits)
        for prompt in prompts { compute(prompt, &manager) }
        return manager
    }

    /// As a sequence does: takes what is there, computes and publishes the rest, releases from last
    /// to first.
    private func compute(_ prompt: [Int32], salt: UInt64 = 0, _ manager: inout BlockManager) {
        var table: [Int] = []
        manager.longestPrefix(of: prompt, limit: prompt.count / 2, salt: salt, into: &table)
        for block in table { manager.retain(block) }
        var publication = BlockManager.Publication.published
        while table.count < prompt.count / 2, publication == .published,
            let block = manager.allocate()
        {
            publication = manager.publish(
                block, parent: table.last ?? BlockManager.root, prompt, table.count * 2, salt: salt,
                pending: false)
            table.append(block)
        }
        for block in table.reversed() { manager.release(block) }
    }

    private func hits(_ prompt: [Int32], salt: UInt64 = 0, _ manager: BlockManager) -> Int {
        var table: [Int] = []
        manager.longestPrefix(of: prompt, limit: prompt.count / 2, salt: salt, into: &table)
        return table.count
    }

    @Test func blocksAreGivenOutOnceAndTakenBack() {
        var manager = BlockManager(blockSize: 2, blockCount: 3)
        let given = [manager.allocate(), manager.allocate(), manager.allocate()]
        #expect(Set(given) == [0, 1, 2])
        #expect(manager.allocate() == nil && manager.usedCount == 3)
        manager.release(1)
        #expect(manager.freeCount == 1 && manager.allocate() == 1)
    }

    @Test func fullBlocksAreFoundAgainByTheirPrefix() {
        let manager = manager(blocks: 8, holding: [[1, 2, 3, 4, 5, 6]])
        #expect(manager.evictableCount == 3)
        #expect(hits([1, 2, 3, 4, 5, 6, 7], manager) == 3)
        #expect(hits([1, 2, 3, 4, 9, 9], manager) == 2)
        #expect(
            hits([3, 4, 5, 6], manager) == 0, "the same tokens after others are something else")
        #expect(hits([1, 2], salt: 1, manager) == 0, "another salt")
    }

    @Test func prefixesBranch() {
        let manager = manager(
            blocks: 8, holding: [[1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 5, 6, 7, 8]])
        #expect(manager.evictableCount == 4)
        #expect(hits([1, 2, 3, 4], manager) == 2 && hits([1, 2, 5, 6, 7, 8], manager) == 3)
    }

    @Test func theLeastRecentlyUsedGoesFirstAndChildrenBeforeParents() {
        var manager = manager(blocks: 4, holding: [[1, 2, 3, 4], [5, 6, 7, 8]])
        _ = manager.allocate()
        #expect(hits([1, 2, 3, 4], manager) == 1 && hits([5, 6, 7, 8], manager) == 2)
        compute([1, 2], &manager)
        _ = manager.allocate()
        #expect(hits([1, 2], manager) == 1, "it was used since")
        #expect(hits([5, 6, 7, 8], manager) == 1)
        #expect(manager.evictions == 2)
    }

    @Test func referencedBlocksAreNotEvicted() {
        var manager = manager(blocks: 2, holding: [[1, 2]])
        var table: [Int] = []
        manager.longestPrefix(of: [1, 2], limit: 1, salt: 0, into: &table)
        manager.retain(table[0])
        #expect(manager.allocate() != nil && manager.allocate() == nil)
        #expect(hits([1, 2], manager) == 1)
    }

    /// With one bit of hash every other lookup finds a foreign block in the index.
    @Test func equalHashesAreNoHits() {
        var manager = manager(blocks: 64, holding: [], hashBits: 1)
        for first in Int32(0)..<20 { compute([first, 1, first, 2], &manager) }
        #expect(manager.evictableCount <= 2)
        for first in Int32(0)..<40 {
            var table: [Int] = []
            manager.longestPrefix(of: [first, 1, first, 2], limit: 2, salt: 0, into: &table)
            #expect(table.isEmpty || first < 20)
        }
    }

    @Test func whatIsThereAlreadyIsADuplicate() throws {
        var manager = manager(blocks: 4, holding: [[1, 2]])
        let given = manager.allocate()
        let own = try #require(given)
        let publication = manager.publish(
            own, parent: BlockManager.root, [1, 2], 0, salt: 0, pending: false)
        guard case .duplicate(let other) = publication else {
            Issue.record("not found: \(publication)")
            return
        }
        #expect(other != own && !manager.blocks[own].isPublished)
    }

    @Test func whatAFailedStepWroteIsForgotten() throws {
        var manager = manager(blocks: 4, holding: [[1, 2]])
        var table: [Int] = []
        manager.longestPrefix(of: [1, 2], limit: 1, salt: 0, into: &table)
        manager.retain(table[0])
        let given = manager.allocate()
        let own = try #require(given)
        _ = manager.publish(own, parent: table[0], [1, 2, 3, 4], 2, salt: 0, pending: true)
        #expect(hits([1, 2, 3, 4], manager) == 2, "others in the step may share it")
        manager.withdraw()
        #expect(hits([1, 2, 3, 4], manager) == 1)
        manager.release(own)
        manager.release(table[0])
        #expect(manager.freeCount == 3 && manager.evictableCount == 1)
    }
}
