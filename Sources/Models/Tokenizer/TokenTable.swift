/// The tokens of a model by id, and their ids by bytes.
///
/// All strings lie in one buffer, and an open-addressing table of ids finds them, so that a quarter of a
/// million tokens cost a few megabytes and no allocation each. Keys are bytes: Swift's `String` would equate
/// canonically equivalent ones.
struct TokenTable: Sendable {
    private var storage: [UInt8] = []
    /// Where token i's bytes end; they begin where those of i - 1 end.
    private var ends: [UInt32] = []
    /// High half: the token's hash; low half: its id + 1, so that 0 is an empty slot.
    private var slots: [UInt64]
    private let mask: Int
    /// Length of the longest token that can be found, in bytes.
    private(set) var longest = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [UInt64](repeating: 0, count: size)
        mask = size - 1
        ends.reserveCapacity(capacity)
        storage.reserveCapacity(capacity * 8)
    }

    /// Ids are 0..<count.
    var count: Int { ends.count }

    /// Appends the next id's bytes. An unsearchable one has bytes but is never found by them.
    /// - Returns: the id that already has these bytes, if one does; the new one is then not searchable.
    @discardableResult
    mutating func append(_ bytes: some Collection<UInt8>, searchable: Bool = true) -> Int32? {
        let start = storage.count
        storage.append(contentsOf: bytes)
        ends.append(UInt32(storage.count))
        guard searchable else { return nil }
        precondition(ends.count * 2 <= slots.count, "table made too small")
        let hash = Self.hash(storage, start..<storage.count)
        var at = Int(truncatingIfNeeded: hash) & mask
        while slots[at] != 0 {
            if slots[at] >> 32 == hash >> 32 {
                let other = Int(slots[at] & 0xFFFF_FFFF) - 1
                if matches(other, storage, start..<storage.count) { return Int32(other) }
            }
            at = (at + 1) & mask
        }
        slots[at] = hash & ~0xFFFF_FFFF | UInt64(ends.count)
        longest = max(longest, storage.count - start)
        return nil
    }

    /// The id whose bytes are `text[range]`.
    func id(of text: [UInt8], _ range: Range<Int>) -> Int32? {
        if range.count > longest { return nil }
        let hash = Self.hash(text, range)
        var at = Int(truncatingIfNeeded: hash) & mask
        while true {
            let slot = slots[at]
            if slot == 0 { return nil }
            if slot >> 32 == hash >> 32 {
                let id = Int(slot & 0xFFFF_FFFF) - 1
                if matches(id, text, range) { return Int32(id) }
            }
            at = (at + 1) & mask
        }
    }

    func id(of bytes: [UInt8]) -> Int32? { id(of: bytes, 0..<bytes.count) }

    func id(of text: String) -> Int32? { id(of: Array(text.utf8)) }

    subscript(id: Int) -> ArraySlice<UInt8> { storage[start(id)..<Int(ends[id])] }

    private func start(_ id: Int) -> Int { id == 0 ? 0 : Int(ends[id - 1]) }

    private func matches(_ id: Int, _ text: [UInt8], _ range: Range<Int>) -> Bool {
        let start = start(id)
        guard Int(ends[id]) - start == range.count else { return false }
        for i in 0..<range.count where storage[start + i] != text[range.lowerBound + i] { return false }
        return true
    }

    /// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), with its high bits folded down for the mask.
    static func hash(_ text: [UInt8], _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for i in range { hash = (hash ^ UInt64(text[i])) &* 0x100_0000_01B3 }
        return hash ^ (hash >> 29)
    }
}
