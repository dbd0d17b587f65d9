import JSON
import JobQueue

/// What a run came to, for people and for programs.
package struct Summary: Sendable, Equatable {
    package var batch: BatchID
    package var state: BatchState
    package var counts: BatchCounts
    /// Of all outcomes, those of earlier runs too.
    package var usage: Usage
    /// How many requests ended otherwise than completed, by error code.
    package var errors: [String: Int]
    /// What this process did of it.
    package var thisRun: Share
    /// Nothing was left to do when it started.
    package var wasComplete: Bool
    package var output: String
    /// Where error lines are, if there are any and they have a file of their own.
    package var errorsFile: String?

    package struct Share: Sendable, Equatable {
        package var requests = 0
        package var usage = Usage()
        package var wallMs: Int64 = 0

        /// Prompt tokens that were really computed.
        var computedPromptTokens: Int { usage.promptTokens - usage.cachedTokens }

        fileprivate func perSecond(_ tokens: Int) -> Double {
            wallMs > 0 ? Double(tokens) * 1000 / Double(wallMs) : 0
        }
    }

    package var isFinished: Bool { state.isTerminal }
    package var allCompleted: Bool { isFinished && counts.completed == counts.total }
    package var unfinished: Int { counts.total - counts.settled }

    /// For standard error.
    package var text: String {
        var lines = [requestsLine]
        if !errors.isEmpty {
            let kinds = errors.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            let list = kinds.prefix(8).map { "\($0.value.grouped) \($0.key)" }
            lines.append("errors    " + list.joined(separator: ", ") + (kinds.count > 8 ? ", …" : ""))
        }
        lines.append(
            "tokens    \(usage.promptTokens.grouped) prompt "
                + "(\(usage.cachedTokens.grouped) from the prefix cache), "
                + "\(usage.completionTokens.grouped) generated")
        if usage.costNanodollars > 0 { lines.append("cost      \(usage.costNanodollars.dollars)") }
        if thisRun.requests > 0 {
            let share = thisRun.requests == counts.total ? "" : "\(thisRun.requests.grouped) requests in "
            lines.append(
                "speed     \(share)\(Duration(milliseconds: thisRun.wallMs).text): "
                    + "\(thisRun.perSecond(thisRun.usage.promptTokens).brief) prompt tok/s, "
                    + "\(thisRun.perSecond(thisRun.usage.completionTokens).brief) generated tok/s")
        }
        if output != "-" { lines.append("results   " + output) }
        if let errorsFile { lines.append("          " + errorsFile + " (what failed, and why)") }
        return lines.joined(separator: "\n")
    }

    private var requestsLine: String {
        var parts = ["\(counts.completed.grouped) completed"]
        if counts.failed > 0 { parts.append("\(counts.failed.grouped) failed") }
        if counts.cancelled > 0 { parts.append("\(counts.cancelled.grouped) cancelled") }
        if counts.expired > 0 { parts.append("\(counts.expired.grouped) expired") }
        if unfinished > 0 {
            parts.append("\(unfinished.grouped) still to do: run the same command again to go on")
        }
        let note = wasComplete ? " (already complete, nothing was computed)" : ""
        return "requests  \(counts.total.grouped): \(parts.joined(separator: ", "))\(note)"
    }

    /// For programs; the fields are described in docs/batch-format.md.
    package var json: JSON {
        let seconds = Double(thisRun.wallMs) / 1000
        let sorted = errors.sorted { $0.key < $1.key }
        return [
            "batch": .string(batch.value), "state": .string(state.rawValue), "finished": .bool(isFinished),
            "already_complete": .bool(wasComplete),
            "requests": [
                "total": counts.total.json, "completed": counts.completed.json, "failed": counts.failed.json,
                "cancelled": counts.cancelled.json, "expired": counts.expired.json,
                "unfinished": unfinished.json,
            ],
            "errors": .object(JSONObject(sorted.map { (name: $0.key, value: $0.value.json) })),
            "usage": usage.json,
            "this_run": [
                "requests": thisRun.requests.json, "usage": thisRun.usage.json,
                "wall_seconds": .double(seconds),
                "prompt_tokens_per_second": .double(thisRun.perSecond(thisRun.usage.promptTokens)),
                "completion_tokens_per_second": .double(thisRun.perSecond(thisRun.usage.completionTokens)),
            ],
            "output": .string(output), "errors_file": errorsFile.map { .string($0) } ?? .null,
        ]
    }
}

extension Int {
    var json: JSON { .int(Int64(self)) }
}

extension Usage {
    var json: JSON {
        [
            "prompt_tokens": .int(Int64(promptTokens)), "cached_tokens": .int(Int64(cachedTokens)),
            "completion_tokens": .int(Int64(completionTokens)), "total_tokens": .int(Int64(totalTokens)),
            "cost_usd": .double(Double(costNanodollars) / 1e9),
        ]
    }
}
