import JSON
import JobQueue

/// What waits and runs in a queue, for people and programs.
package struct QueueReport: Sendable {
    private let overview: QueueOverview
    private let workers: [WorkerReport]
    let name: String
    private let now: Timestamp

    /// - Parameter name: the queue's address, without secrets.
    package init(_ overview: QueueOverview, _ workers: [WorkerReport], name: String, at now: Timestamp) {
        self.overview = overview
        self.workers = workers
        self.name = name
        self.now = now
    }

    package var unserved: UnservedModels { UnservedModels(overview, workers) }

    /// Workers that take requests of it.
    private func servers(_ depth: QueueOverview.Depth) -> Int { workers.count { $0.serves(depth.model) } }

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
                        "workers": servers(depth).json,
                    ]
                }), "unserved_models": unserved.json,
        ]
    }

    var isPaused: Bool { overview.isPaused }

    var head: String { "\(name): \(sums)" }

    /// What there is in all.
    var sums: String {
        let queued = overview.depths.reduce(0) { $0 + $1.queued }
        let running = overview.depths.reduce(0) { $0 + $1.leased }
        var text = "\(isPaused ? "PAUSED, " : "")\(overview.openBatches.grouped) open batches, "
            + "\(queued.grouped) requests queued, \(running.grouped) running"
        if let oldest { text += ", oldest waits \(oldest)" }
        return text
    }

    /// The same where there is little room.
    var shortSums: String {
        let queued = Double(overview.depths.reduce(0) { $0 + $1.queued })
        let running = Double(overview.depths.reduce(0) { $0 + $1.leased })
        return (isPaused ? "PAUSED " : "") + "\(queued.whole) queued, \(running.whole) running"
            + (oldest.map { ", oldest \($0)" } ?? "")
    }

    private var oldest: String? {
        overview.oldestQueuedAt.map { Duration(milliseconds: max(0, now - $0)).text }
    }

    var table: TextTable {
        var table = TextTable([
            ">PRIO", "TENANT", "MODEL", ">QUEUED", ">RUNNING", ">DELAYED", ">WORKERS", ">TOKENS",
        ])
        for depth in overview.depths {
            table.add([
                String(depth.priority), depth.tenant, depth.model.isEmpty ? "-" : depth.model, depth.queued.grouped,
                depth.leased.grouped, depth.delayed.grouped, servers(depth).grouped, depth.queuedTokens.grouped,
            ])
        }
        return table
    }

    package var lines: [String] { table.isEmpty ? [head] : [head] + table.lines }

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

    /// Nil: there are none.
    var table: TextTable? {
        guard !workers.isEmpty else { return nil }
        // What matters most stands left: on a narrow screen the rest is left out.
        var table = TextTable([
            "WORKER", "BACKEND", "MODELS", "=PHASE", ">LEASED", ">SEQS", ">STEP", ">PROMPT/S", ">GEN/S", ">KV", ">SEEN",
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
        return table
    }

    package var lines: [String] { table?.lines ?? ["no workers"] }

    package var text: String { lines.joined(separator: "\n") }

    /// Together.
    var speedLine: String {
        let prompt = workers.reduce(0) { $0 + $1.promptTokensPerSecond }
        let generated = workers.reduce(0) { $0 + $1.generatedTokensPerSecond }
        let who = "\(workers.count.grouped) worker\(workers.count == 1 ? "" : "s")"
        return "\(who): \(prompt.brief) prompt tok/s, \(generated.brief) generated tok/s"
    }
}
