/// What must hold of blocks, for `BatchScheduler.checkIntegrity`.
extension BlockManager {
    /// Everything that must hold between steps and within one.
    /// - Parameter references: in how many block tables each block is, `[blockCount]`.
    func violations(references: [Int]) -> [String] {
        var found: [String] = []
        var places = Array(repeating: 0, count: blockCount)
        for block in free {
            places[block] += 1
            if blocks[block].isPublished { found.append("free block \(block) is published") }
        }
        var count = 0
        var previous = Self.none
        var block = oldest
        while block != Self.none && count <= blockCount {
            places[block] += 1
            count += 1
            if !blocks[block].isPublished {
                found.append("evictable block \(block) is not published")
            }
            if blocks[block].older != previous {
                found.append("block \(block) is misplaced in the eviction order")
            }
            previous = block
            block = blocks[block].newer
        }
        if count != evictableCount || previous != newest {
            found.append("\(count) evictable blocks are linked, \(evictableCount) counted")
        }
        for block in 0..<blockCount {
            let held = blocks[block].references
            if held != references[block] {
                found.append(
                    "block \(block) counts \(held) references, tables have \(references[block])")
            }
            if places[block] + (held > 0 ? 1 : 0) != 1 {
                found.append("block \(block) with \(held) references is in \(places[block]) lists")
            }
            if blocks[block].isPublished { checkPublished(block, &found) }
        }
        if index.count != blocks.count(where: \.isPublished) {
            found.append("the index has \(index.count) entries, not one for each published block")
        }
        if pending.count != blocks.count(where: \.isPending) {
            found.append("\(pending.count) blocks are listed as pending, not those that are")
        }
        return found
    }

    private func checkPublished(_ block: Int, _ found: inout [String]) {
        let state = blocks[block]
        if index[state.hash] != block {
            found.append("published block \(block) is not in the index")
        }
        if chainHash(parent: state.parent, tokens, block * blockSize, state.salt) != state.hash {
            found.append("the hash of block \(block) is not that of its tokens")
        }
        guard state.parent != Self.root else { return }
        let parent = blocks[state.parent]
        if !parent.isPublished {
            found.append("block \(block) outlived its parent \(state.parent)")
        }
        if parent.salt != state.salt {
            found.append("block \(block) and its parent differ in salt")
        }
        if parent.references < state.references {
            found.append("block \(block) has more references than its parent \(state.parent)")
        }
        if parent.isPending && !state.isPending {
            found.append("block \(block) is settled before its parent")
        }
    }

    /// Whether published `block` stands for `prompt[..<(start + blockSize)]`, its parent standing
    /// for what comes before.
    func stands(_ block: Int, parent: Int, for prompt: [Int32], _ start: Int, salt: UInt64) -> Bool
    {
        blocks[block].isPublished && holds(block, parent: parent, prompt, start, salt)
    }
}
