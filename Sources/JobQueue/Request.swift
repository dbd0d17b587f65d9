/// Where a request is: its batch and its place in it, from 0.
package struct RequestKey: Hashable, Sendable {
    package var batch: BatchID
    package var ordinal: Int

    package init(batch: BatchID, ordinal: Int) {
        self.batch = batch
        self.ordinal = ordinal
    }
}

/// Which OpenAI route a request's body is for.
package enum Endpoint: String, Sendable, CaseIterable {
    case completions = "/v1/completions"
    case chatCompletions = "/v1/chat/completions"
}

/// One line of a batch: the unit that is leased, settled and counted.
package struct Request: Sendable, Equatable {
    /// The client's name for it, unique in its batch (by bytes).
    package var customID: String
    package var endpoint: Endpoint
    /// The JSON object of OpenAI's route, as text in UTF-8, defaults already filled in.
    package var body: [UInt8]
    /// Line of the file it came from, from 1; 0 where there was none.
    package var line: Int
    /// The body's `model`; "" where it names none. Workers lease by it.
    package var model: String
    /// Estimate of the tokens it takes, prompt and completion, at least 1: what fairness and room are counted in.
    package var cost: Int

    package init(
        customID: String, endpoint: Endpoint, body: [UInt8], line: Int = 0, model: String = "", cost: Int = 1
    ) {
        self.customID = customID
        self.endpoint = endpoint
        self.body = body
        self.line = line
        self.model = model
        self.cost = cost
    }
}

/// What is appended to a batch: a request to run, or one that was refused when it was read and is settled as
/// it is appended, so that every line of an input ends in an outcome.
package enum AppendedRequest: Sendable, Equatable {
    case accepted(Request)
    case refused(customID: String?, line: Int, Outcome)
}

package enum RequestState: String, Sendable, CaseIterable {
    case queued, leased, completed, failed, cancelled, expired

    package var isTerminal: Bool { self != .queued && self != .leased }
}
