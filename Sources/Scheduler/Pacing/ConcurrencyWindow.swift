/// How many requests may be in flight: grows while all goes well, halves when the server is overloaded (additive
/// increase, multiplicative decrease, after doubling at first; Chiu and Jain 1989, RFC 5681).
package struct ConcurrencyWindow: Sendable, Equatable, Codable {
    package private(set) var most: Int
    package private(set) var size: Double
    package private(set) var inFlight = 0
    /// Doubles each round until the first overload.
    private var isDoubling = true
    /// Overloads of requests sent before this one are the same overload.
    private var nextDecrease: UInt64 = 0

    package init(first: Int = 32, most: Int = 2000) {
        precondition(first >= 1 && most >= 1, "at least one request must be allowed in flight")
        self.most = most
        size = Double(min(first, most))
    }

    package mutating func change(most: Int) {
        precondition(most >= 1, "at least one request must be allowed in flight")
        self.most = most
        size = min(size, Double(most))
    }

    package var hasRoom: Bool { inFlight < Int(size) }

    package mutating func send() { inFlight += 1 }

    /// A request came back, as it should.
    package mutating func succeed() {
        // What is not used proves nothing.
        let isUsed = Double(inFlight) >= size / 2
        inFlight -= 1
        if isUsed { size = min(Double(most), size + (isDoubling ? 1 : 1 / size)) }
    }

    /// A request came back for a reason that says nothing of the server's load.
    package mutating func end() { inFlight -= 1 }

    /// A request came back because the server has too much to do.
    /// - Parameter last: the newest request sent so far.
    package mutating func overload(_ sequence: UInt64, last: UInt64) {
        inFlight -= 1
        guard sequence >= nextDecrease else { return }
        nextDecrease = last + 1
        isDoubling = false
        size = max(1, size / 2)
    }
}
