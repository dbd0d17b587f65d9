import JSON
import JobQueue

/// What waits and runs in a queue, for people and programs.
package struct QueueReport: Sendable {
    private let overview: QueueOverview
    private let name: String
    private let now: Timestamp

    /// - Parameter name: the queue's address, without secrets.
    package init(_ overview: QueueOverview, name: String, at now: Timestamp) {
        self.overview = overview
        self.name = name
        self.now = now
    }

    package var json: JSON {
        [
            "queue": .string(name), "paused": .bool(overview.isPaused), "open_batches": overview.openBatches.json,
            "oldest_queued_seconds": overview.oldestQueuedAt.map { .int(max(0, now - $0) / 1000) } ?? .null,
            "depths": .array(
                overview.depths.map { depth in
                    [
                        "priority": depth.priority.json, "tenant": .string(depth.tenant),
                        "model": .string(depth.model), "queued": depth.queued.json, "delayed": depth.delayed.json,
                        "running": depth.leased.json, "queued_tokens": depth.queuedTokens.json,
                    ]
                }),
        ]
    }

    package var lines: [String] {
        let queued = overview.depths.reduce(0) { $0 + $1.queued }
        let running = overview.depths.reduce(0) { $0 + $1.leased }
        var head = "\(name): \(overview.isPaused ? "PAUSED, " : "")\(overview.openBatches.grouped) open batches, "
            + "\(queued.grouped) requests queued, \(running.grouped) running"
        if let oldest = overview.oldestQueuedAt {
            head += ", oldest waits \(Duration(milliseconds: max(0, now - oldest)).text)"
        }
        var table = TextTable(["PRIORITY", "TENANT", "MODEL", ">QUEUED", ">DELAYED", ">RUNNING", ">TOKENS QUEUED"])
        for depth in overview.depths {
            table.add([
                String(depth.priority), depth.tenant, depth.model.isEmpty ? "-" : depth.model, depth.queued.grouped,
                depth.delayed.grouped, depth.leased.grouped, depth.queuedTokens.grouped,
            ])
        }
        return table.isEmpty ? [head] : [head] + table.lines
    }

    package var text: String { lines.joined(separator: "\n") }
}

/// The workers of a queue, for people and programs.
package struct WorkersReport: Sendable {
    private let workers: [WorkerReport]
    private let now: Timestamp

    package init(_ workers: [WorkerReport], at now: Timestamp) {
        self.workers = workers
        self.now = now
    }

    package var json: JSON {
        .array(
            workers.map { worker in
                [
                    "name": .string(worker.name), "host": .string(worker.host), "pid": worker.processID.json,
                    "models": .array(worker.models.map(JSON.string)), "backend": .string(worker.backend),
                    "phase": .string(worker.phase.rawValue), "started_at": .int(worker.startedAt.seconds),
                    "reported_seconds_ago": .int(max(0, now - worker.reportedAt) / 1000),
                    "leased": worker.leasedRequests.json, "sequences": worker.runningSequences.json,
                    "step_ms": .double(worker.stepMs),
                    "prompt_tokens_per_second": .double(worker.promptTokensPerSecond),
                    "generated_tokens_per_second": .double(worker.generatedTokensPerSecond),
                    "kv_cache_use": .double(worker.cacheUse),
                ]
            })
    }

    package var lines: [String] {
        guard !workers.isEmpty else { return ["no workers"] }
        var table = TextTable([
            "WORKER", "BACKEND", "MODELS", "PHASE", ">LEASED", ">SEQS", ">STEP", ">PROMPT/S", ">GEN/S", ">KV", ">SEEN",
        ])
        for worker in workers {
            table.add([
                worker.name, worker.backend, worker.models.joined(separator: ","), worker.phase.rawValue,
                worker.leasedRequests.grouped, worker.runningSequences.grouped, worker.stepMs.brief + " ms",
                worker.promptTokensPerSecond.brief, worker.generatedTokensPerSecond.brief,
                "\(Int((worker.cacheUse * 100).rounded()))%",
                Duration(milliseconds: max(0, now - worker.reportedAt)).text,
            ])
        }
        return table.lines
    }

    package var text: String { lines.joined(separator: "\n") }

    /// Together.
    var speedLine: String {
        let prompt = workers.reduce(0) { $0 + $1.promptTokensPerSecond }
        let generated = workers.reduce(0) { $0 + $1.generatedTokensPerSecond }
        return "\(workers.count.grouped) workers: \(prompt.brief) prompt tok/s, \(generated.brief) generated tok/s"
    }
}

/// `millrace top`: both on one screen.
package struct TopView: Sendable {
    private let queue: QueueReport
    private let workers: WorkersReport

    package init(_ overview: QueueOverview, _ workers: [WorkerReport], name: String, at now: Timestamp) {
        queue = QueueReport(overview, name: name, at: now)
        self.workers = WorkersReport(workers, at: now)
    }

    package var json: JSON { ["queue": queue.json, "workers": workers.json] }

    package var text: String { all.joined(separator: "\n") }

    private var all: [String] { queue.lines + ["", workers.speedLine] + workers.lines }

    /// Whole lines of at most `width` characters; workers come first where not all fits, since depths can be long.
    package func screen(width: Int, height: Int) -> [String] {
        func fit(_ lines: [String], _ room: Int) -> [String] {
            guard lines.count > room else { return lines }
            guard room > 0 else { return [] }
            return lines.prefix(room - 1) + ["… \(lines.count - room + 1) more"]
        }
        let tail = fit(["", workers.speedLine] + workers.lines, max(0, height * 2 / 3))
        let head = fit(queue.lines, max(0, height - tail.count))
        return (head + tail).map { String($0.prefix(width)) }
    }
}
