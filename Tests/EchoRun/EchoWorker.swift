import Foundation
import JSON
import JobQueue
import Submitter

/// Answers each prompt with itself: all that a run needs of a worker, without a model.
package struct EchoWorker: Sendable {
    package var groupRequests = 4
    /// Stops, as if by a signal, when it has settled this many.
    package var stopsAfter = Int.max
    /// Dies instead, with leases in hand.
    package var failsAfter = Int.max
    /// Called with each request that it begins.
    package var onRequest: @Sendable (Request) -> Void = { _ in }

    package init() {}

    package struct Death: Error {
        package init() {}
    }

    package func work(_ queue: any JobQueue, _ batch: BatchID) async throws -> RunSession.WorkEnd {
        var settled = 0
        while try await !queue.status(batch).state.isTerminal {
            let leased = try await queue.lease(
                max: groupRequests, worker: "echo", durationMs: 60_000, at: Timestamp(milliseconds: 1000))
            for request in leased { onRequest(request.request) }
            if settled >= failsAfter { throw Death() }
            if settled >= stopsAfter {
                _ = try await queue.release(
                    leased.map(\.lease), reason: .handedBack, at: Timestamp(milliseconds: 1000))
                return .stopped
            }
            let settlements = leased.map { Settlement(lease: $0.lease, outcome: Self.outcome(of: $0.request)) }
            _ = try await queue.settle(settlements, at: Timestamp(milliseconds: 1000))
            settled += leased.count
            await Task.yield()
        }
        return .finished
    }

    /// Refuses a body as a worker does that understands it, without knowing about files and lines.
    private static func outcome(of request: Request) -> Outcome {
        guard let body = try? JSON(parsing: request.body) else {
            return .failure(OutcomeError(code: "internal_error", message: "the body is not JSON", statusCode: 500))
        }
        let text = body["prompt"]?.string ?? body["messages"]?.array?.last?["content"]?.string
        guard let text else {
            return .failure(
                OutcomeError(code: "invalid_request", message: "no prompt that is text", parameter: "prompt"))
        }
        let answer: JSON = ["object": "echo", "text": .string(text), "body": body]
        return Outcome(
            result: .response(statusCode: 200, body: Array(answer.text.utf8)),
            usage: Usage(promptTokens: text.utf8.count, completionTokens: 2), backend: "echo")
    }
}
