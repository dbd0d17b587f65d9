/// Sequences in numbered slots, found by id. Slots are mutated in place
/// (`states[slot].tokens.append`): a state taken out into a variable would share its arrays, and
/// the next write would copy them.
struct SequenceStore: Sendable {
    var states: [SequenceState] = []
    private(set) var slots: [SequenceID: Int] = [:]
    private(set) var vacant: [Int] = []

    var count: Int { slots.count }

    func slot(of id: SequenceID) -> Int? { slots[id] }

    mutating func insert(_ state: SequenceState) -> Int {
        let slot: Int
        if let reused = vacant.popLast() {
            slot = reused
            states[slot] = state
        } else {
            slot = states.count
            states.append(state)
        }
        slots[state.id] = slot
        return slot
    }

    mutating func remove(_ slot: Int) -> SequenceState {
        let state = exchange(&states[slot], with: SequenceState())
        slots[state.id] = nil
        vacant.append(slot)
        return state
    }

    func violations() -> [String] {
        var found: [String] = []
        if slots.count + vacant.count != states.count { found.append("slots are lost") }
        for (id, slot) in slots where states[slot].id != id || states[slot].phase == .vacant {
            found.append("\(id) is not in its slot \(slot)")
        }
        for slot in vacant where states[slot].phase != .vacant {
            found.append("slot \(slot) is not vacant")
        }
        return found
    }
}
