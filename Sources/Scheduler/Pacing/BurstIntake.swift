/// What was let through of what was sent in a tenth of a minute.
struct BurstIntake: Sendable {
    private var part = Int64.min
    private var now = Allotment()
    private var most = Allotment()
    private static let partMs = RateSpan.minute.milliseconds / 10

    mutating func note(tokens: Int, sentAt: Int64) {
        let at = sentAt / Self.partMs
        if at > part { (part, now) = (at, Allotment()) }
        guard at == part else { return }
        now.requests += 1
        now.tokens += tokens
        most = Allotment(requests: max(most.requests, now.requests), tokens: max(most.tokens, now.tokens))
    }

    /// Whether that was more than a server lets through that holds a minute's pace at shorter times.
    func isBurst(_ requests: Int?, _ tokens: Int?) -> Bool {
        func isMuch(_ amount: Int, of limit: Int?) -> Bool { limit.map { 10 * amount >= 3 * $0 } ?? false }
        return isMuch(most.requests, of: requests) || isMuch(most.tokens, of: tokens)
    }
}
