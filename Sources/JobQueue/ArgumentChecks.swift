// What no store takes, whatever it is made of.

extension BatchSpecification {
    /// Exact in a store that counts in doubles.
    package static let priorities = -(1 << 31)...1 << 31

    /// - Throws: `invalidArgument` for what no store takes.
    package func check() throws(JobQueueError) {
        guard maxAttempts >= 1 else {
            throw .invalidArgument("maxAttempts must be at least 1, got \(maxAttempts)")
        }
        guard Self.priorities.contains(priority) else {
            throw .invalidArgument(
                "the priority must be from \(Self.priorities.lowerBound) to \(Self.priorities.upperBound), "
                    + "got \(priority)")
        }
        if let window = completionWindowMs, window < 1 {
            throw .invalidArgument("the completion window must be at least 1 ms, got \(window)")
        }
        if let retention = retentionMs, retention < 1 {
            throw .invalidArgument("the retention must be at least 1 ms, got \(retention)")
        }
    }
}

extension Request {
    /// Most tokens that one request may be estimated at: sums of them stay exact in doubles.
    package static let maxCost = 1 << 31

    /// - Throws: `invalidArgument` for what no store takes.
    package func check() throws(JobQueueError) {
        guard (1...Self.maxCost).contains(cost) else {
            throw .invalidArgument("request \"\(customID)\": the cost must be from 1 to \(Self.maxCost), got \(cost)")
        }
    }
}

extension LeaseClaim {
    /// - Throws: `invalidArgument` for what no store takes.
    package func check() throws(JobQueueError) {
        guard durationMs >= 1 else {
            throw .invalidArgument("a lease must last at least 1 ms, got \(durationMs)")
        }
    }
}

extension Outcome {
    /// Tokens of one request above this are refused: no model makes them, and sums stay far from overflowing.
    package static let maxTokens = 1 << 40
    /// $8796 for one request; a thousand of them are still exact in a store that counts in doubles.
    package static let maxCostNanodollars = 1 << 43

    /// - Throws: `invalidArgument` for what no store takes; `what` names whose outcome it is.
    func check(_ what: String, maxBodyBytes: Int) throws(JobQueueError) {
        guard (0...Self.maxTokens).contains(usage.promptTokens), (0...Self.maxTokens).contains(usage.completionTokens),
            (0...usage.promptTokens).contains(usage.cachedTokens)
        else {
            throw .invalidArgument(
                "\(what): usage must be 0 to \(Self.maxTokens) tokens, the cached ones part of the prompt's; "
                    + "got \(usage.promptTokens) prompt, \(usage.completionTokens) completion, "
                    + "\(usage.cachedTokens) cached"
            )
        }
        guard (0...Self.maxCostNanodollars).contains(usage.costNanodollars) else {
            throw .invalidArgument(
                "\(what): the cost must be 0 to \(Self.maxCostNanodollars) billionths of a dollar, "
                    + "got \(usage.costNanodollars)")
        }
        if case .response(_, let body) = result, body.count > maxBodyBytes {
            throw .invalidArgument(
                "\(what): the response has \(body.count) bytes; at most \(maxBodyBytes) are stored")
        }
    }
}
