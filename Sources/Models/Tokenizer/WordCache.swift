/// The ids of words seen before: natural text repeats its words. Bounded: a slot holds the last word that
/// fell into it, and all is forgotten when the buffers are full.
struct WordCache: Sendable {
    private struct Slot {
        var hash: UInt64 = 0
        var key: UInt32 = 0
        var ids: UInt32 = 0
        var keyLength: UInt16 = 0
        var idCount: UInt16 = 0
    }

    /// Longer words are rare, and rarely come back.
    static let longestKey = 64
    private static let slotCount = 1 << 14
    private static let keyCapacity = 1 << 18
    private static let idCapacity = 1 << 17

    private var slots = [Slot](repeating: Slot(), count: slotCount)
    private var keys: [UInt8] = []
    private var ids: [Int32] = []

    /// Appends the ids of `text[range]` to `output` if they are known.
    /// - Parameter hash: `TokenTable.hash` of the range.
    func append(_ text: [UInt8], _ range: Range<Int>, hash: UInt64, to output: inout [Int32]) -> Bool {
        let slot = slots[Int(truncatingIfNeeded: hash) & (Self.slotCount - 1)]
        guard slot.hash == hash, Int(slot.keyLength) == range.count, slot.keyLength > 0 else { return false }
        let key = Int(slot.key)
        for i in 0..<range.count where keys[key + i] != text[range.lowerBound + i] { return false }
        for i in Int(slot.ids)..<Int(slot.ids) + Int(slot.idCount) { output.append(ids[i]) }
        return true
    }

    mutating func insert(_ text: [UInt8], _ range: Range<Int>, hash: UInt64, ids found: ArraySlice<Int32>) {
        if found.count > Int(UInt16.max) { return }
        if keys.count + range.count > Self.keyCapacity || ids.count + found.count > Self.idCapacity {
            slots = [Slot](repeating: Slot(), count: Self.slotCount)
            keys.removeAll(keepingCapacity: true)
            ids.removeAll(keepingCapacity: true)
        }
        slots[Int(truncatingIfNeeded: hash) & (Self.slotCount - 1)] = Slot(
            hash: hash, key: UInt32(keys.count), ids: UInt32(ids.count), keyLength: UInt16(range.count),
            idCount: UInt16(found.count))
        keys.append(contentsOf: text[range])
        ids.append(contentsOf: found)
    }
}
