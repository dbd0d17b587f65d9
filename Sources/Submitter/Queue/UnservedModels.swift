import JSON
import JobQueue

/// Models that requests wait for while no worker or forwarder that lives reports to serve them: the requests would wait
/// for as long as that is so, without anything being wrong with them.
package struct UnservedModels: Sendable, Equatable {
    /// Queued requests by model, by the models' names; a request without a model is served by everybody.
    package let waiting: [(model: String, queued: Int)]
    private let workers: Int

    package init(_ queued: [String: Int], _ workers: [WorkerReport]) {
        waiting = queued.filter { model, count in count > 0 && !workers.contains { $0.serves(model) } }
            .map { (model: $0.key, queued: $0.value) }.sorted { $0.model < $1.model }
        self.workers = workers.count { $0.phase != .draining }
    }

    package init(_ overview: QueueOverview, _ workers: [WorkerReport]) {
        var queued: [String: Int] = [:]
        for depth in overview.depths { queued[depth.model, default: 0] += depth.queued }
        self.init(queued, workers)
    }

    /// Of one batch.
    package static func of(
        _ batch: BatchID, on queue: any JobQueue, at now: Timestamp
    ) async throws(JobQueueError) -> UnservedModels {
        UnservedModels(try await queue.backlog(batch), try await queue.workers(at: now))
    }

    package static func == (a: Self, b: Self) -> Bool {
        a.workers == b.workers && a.waiting.elementsEqual(b.waiting, by: ==)
    }

    package var isEmpty: Bool { waiting.isEmpty }

    /// For people; nil: nothing is wrong.
    package var text: String? {
        guard !waiting.isEmpty else { return nil }
        let total = waiting.reduce(0) { $0 + $1.queued }
        let who = total == 1 ? "1 request waits" : "\(total.grouped) requests wait"
        if workers == 0 {
            return "\(who), and no worker lives that would take \(total == 1 ? "it" : "them"): start one "
                + "(millrace worker, millrace forwarder)"
        }
        let shown = waiting.prefix(Self.shownModels).map { "\"\($0.model.shown)\" (\($0.queued.grouped))" }
        let more = waiting.count > shown.count ? " and \(waiting.count - shown.count) more" : ""
        return "\(who) for models that no living worker serves: \(shown.joined(separator: ", "))\(more); "
            + "'millrace workers' shows what is served"
    }

    private static let shownModels = 5

    /// Queued requests by model.
    package var json: JSON {
        .object(JSONObject(waiting.map { (name: $0.model, value: $0.queued.json) }))
    }
}

extension JSON {
    /// The same object with `unserved_models`.
    package func with(_ unserved: UnservedModels) -> JSON {
        guard case .object(var object) = self else { return self }
        object["unserved_models"] = unserved.json
        return .object(object)
    }
}
