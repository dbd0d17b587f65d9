import Foundation
import JSON
import JobQueue

extension BatchStatus {
    /// For programs; the fields are described in docs/operations.md.
    package var json: JSON {
        func time(_ time: Timestamp?) -> JSON { time.map { .int($0.seconds) } ?? .null }
        let metadata = specification.metadata.sorted { $0.key < $1.key }
        return [
            "batch": .string(id.value), "state": .string(state.rawValue), "finished": .bool(state.isTerminal),
            "tenant": .string(specification.tenant), "priority": specification.priority.json,
            "requests": [
                "total": counts.total.json, "queued": counts.queued.json, "running": counts.leased.json,
                "completed": counts.completed.json, "failed": counts.failed.json,
                "cancelled": counts.cancelled.json, "expired": counts.expired.json,
            ],
            "usage": usage.json, "created_at": time(createdAt), "accepted_at": time(acceptedAt),
            "expires_at": time(deadline), "ended_at": time(endedAt),
            "paused_for": pausedFor.map { .string($0) } ?? .null,
            "metadata": .object(JSONObject(metadata.map { (name: $0.key, value: .string($0.value)) })),
        ]
    }

    /// When the completion window ends.
    var deadline: Timestamp? {
        guard let acceptedAt, let window = specification.completionWindowMs else { return nil }
        return acceptedAt + window
    }

    /// Several lines for people.
    package var text: String {
        var lines = ["batch     \(id): \(state.rawValue)", "requests  \(counts.total.grouped): \(countsText)"]
        if let pausedFor { lines.append("paused    \(pausedFor.shown)") }
        lines.append(
            "tokens    \(usage.promptTokens.grouped) prompt (\(usage.cachedTokens.grouped) from the prefix cache), "
                + "\(usage.completionTokens.grouped) generated")
        if usage.costNanodollars > 0 { lines.append("cost      \(usage.costNanodollars.dollars)") }
        lines.append("tenant    \(specification.tenant.shown), priority \(specification.priority)")
        var times = ["created \(createdAt.text)"]
        if let deadline, endedAt == nil { times.append("expires \(deadline.text)") }
        if let endedAt { times.append("ended \(endedAt.text)") }
        lines.append("times     " + times.joined(separator: ", "))
        let metadata = specification.metadata.sorted { $0.key < $1.key }
        if !metadata.isEmpty {
            lines.append("metadata  " + metadata.map { "\($0.key.shown)=\($0.value.shown)" }.joined(separator: ", "))
        }
        return lines.joined(separator: "\n")
    }

    private var countsText: String {
        let parts = [
            (counts.completed, "completed"), (counts.failed, "failed"), (counts.cancelled, "cancelled"),
            (counts.expired, "expired"), (counts.leased, "running"), (counts.queued, "queued"),
        ]
        let shown = parts.filter { $0.0 > 0 || $0.1 == "completed" }
        return shown.map { "\($0.0.grouped) \($0.1)" }.joined(separator: ", ")
    }

    /// Whether all its requests succeeded.
    package var allCompleted: Bool { state.isTerminal && counts.completed == counts.total }
}

extension Timestamp {
    /// In UTC, to the second.
    var text: String { Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601) }
}

/// Many batches, a line each.
package struct BatchList: Sendable {
    private let batches: [BatchStatus]

    package init(_ batches: [BatchStatus]) { self.batches = batches }

    package var json: JSON { .array(batches.map(\.json)) }

    package var text: String {
        guard !batches.isEmpty else { return "no batches" }
        var table = TextTable(["BATCH", "STATE", "TENANT", ">PRIO", ">DONE", ">FAILED", ">TOTAL", "CREATED"])
        for batch in batches {
            let counts = batch.counts
            table.add([
                batch.id.value, batch.state.rawValue, batch.specification.tenant,
                String(batch.specification.priority), counts.completed.grouped,
                (counts.settled - counts.completed).grouped, counts.total.grouped, batch.createdAt.text,
            ])
        }
        return table.lines.joined(separator: "\n")
    }
}
