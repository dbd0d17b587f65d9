/// A request whose attempts were used up, with what it ended as; whole, so that it can be submitted again.
package struct DeadLetter: Sendable, Equatable {
    package var ordinal: Int
    package var request: Request
    package var attempt: Int
    package var settledAt: Timestamp
    package var error: OutcomeError

    package init(ordinal: Int, request: Request, attempt: Int, settledAt: Timestamp, error: OutcomeError) {
        self.ordinal = ordinal
        self.request = request
        self.attempt = attempt
        self.settledAt = settledAt
        self.error = error
    }
}
