/// The merges of a byte-pair encoding: which neighbours join, in which order of preference, and into what.
struct MergeTable: Sendable {
    private struct Slot {
        var pair: UInt64
        var rank: UInt32
        var result: Int32
    }

    private static let empty = UInt64.max
    private var slots: [Slot]
    private let mask: Int
    private(set) var count = 0

    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [Slot](repeating: Slot(pair: Self.empty, rank: 0, result: 0), count: size)
        mask = size - 1
    }

    /// - Parameter overwrites: what happens to a pair that is already there: it gets the new rank, or keeps
    ///   the old one.
    mutating func insert(left: Int32, right: Int32, rank: UInt32, result: Int32, overwrites: Bool) {
        let pair = Self.pair(left, right)
        let at = position(of: pair)
        if slots[at].pair == Self.empty {
            precondition(count * 2 < slots.count, "table made too small")
            count += 1
        } else if !overwrites {
            return
        }
        slots[at] = Slot(pair: pair, rank: rank, result: result)
    }

    func find(_ left: Int32, _ right: Int32) -> (rank: UInt32, result: Int32)? {
        let slot = slots[position(of: Self.pair(left, right))]
        return slot.pair == Self.empty ? nil : (slot.rank, slot.result)
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    private func position(of pair: UInt64) -> Int {
        var at = Int(truncatingIfNeeded: (pair &* 0x9E37_79B9_7F4A_7C15) >> 24) & mask
        while slots[at].pair != pair && slots[at].pair != Self.empty { at = (at + 1) & mask }
        return at
    }
}
