/// The errors that stores themselves give as outcomes, worded alike by all.
extension OutcomeError {
    package static let attemptsExhausted = "attempts_exhausted"
    package static let leaseExpired = "lease_expired"

    static let cancelled = OutcomeError(
        code: "cancelled", message: "the batch was cancelled before this request was answered", statusCode: 499)

    static func expired(windowMs: Int64?) -> OutcomeError {
        OutcomeError(
            code: "expired",
            message: "the batch's completion window of \(windowMs ?? 0) ms ended before this request was answered",
            statusCode: 408)
    }

    /// - Parameter before: how the attempt before failed, where one did.
    static func lostLease(worker: String, attempt: Int, before: OutcomeError?) -> OutcomeError {
        // Of several lost leases only the first real error is worth repeating.
        let earlier = before.map {
            $0.code == leaseExpired ? "" : " (before that: \($0.code): \($0.message))"
        }
        return OutcomeError(
            code: leaseExpired,
            message: "worker \(worker) did not answer in time, or ended, in attempt \(attempt)" + (earlier ?? ""),
            statusCode: 500)
    }

    /// What a request ends with whose last allowed attempt failed with this error.
    func exhausting(_ failures: Int, of allowed: Int) -> OutcomeError {
        OutcomeError(
            code: Self.attemptsExhausted,
            message: "\(failures) of \(allowed) attempts failed; the last: \(code): \(message)",
            parameter: parameter, statusCode: statusCode)
    }
}
