import JSON

/// What a worker tells of itself, every few seconds.
package struct WorkerReport: Sendable, Equatable {
    package enum Phase: String, Sendable, CaseIterable { case starting, running, draining }

    /// Unique among workers: host, process and model.
    package var name: String
    package var host: String
    package var processID: Int
    /// Models that it serves; `*` in a name stands for anything.
    package var models: [String]
    /// `cpu`, `cuda:0`, an upstream's name.
    package var backend: String
    package var phase: Phase
    package var startedAt: Timestamp
    package var reportedAt: Timestamp
    /// Forgotten this long after `reportedAt`.
    package var lifetimeMs: Int64
    package var leasedRequests: Int
    package var runningSequences: Int
    /// Of the last steps, median; 0 where there are no steps.
    package var stepMs: Double
    /// Tokens a second since the report before.
    package var promptTokensPerSecond: Double
    package var generatedTokensPerSecond: Double
    /// Part of the KV cache that is in use, 0 to 1.
    package var cacheUse: Double

    package init(
        name: String, host: String, processID: Int, models: [String], backend: String, phase: Phase,
        startedAt: Timestamp, reportedAt: Timestamp, lifetimeMs: Int64 = 30_000, leasedRequests: Int = 0,
        runningSequences: Int = 0, stepMs: Double = 0, promptTokensPerSecond: Double = 0,
        generatedTokensPerSecond: Double = 0, cacheUse: Double = 0
    ) {
        self.name = name
        self.host = host
        self.processID = processID
        self.models = models
        self.backend = backend
        self.phase = phase
        self.startedAt = startedAt
        self.reportedAt = reportedAt
        self.lifetimeMs = lifetimeMs
        self.leasedRequests = leasedRequests
        self.runningSequences = runningSequences
        self.stepMs = stepMs
        self.promptTokensPerSecond = promptTokensPerSecond
        self.generatedTokensPerSecond = generatedTokensPerSecond
        self.cacheUse = cacheUse
    }
}

extension WorkerReport {
    /// Whether it takes requests of this model, now or soon. One that names no model suits everybody.
    package func serves(_ model: String) -> Bool {
        phase != .draining && (model.isEmpty || models.contains { Self.matches(Array(model.utf8), Array($0.utf8)) })
    }

    private static func matches(_ name: [UInt8], _ pattern: [UInt8]) -> Bool {
        let parts = pattern.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
        guard parts.count > 1 else { return name == pattern }
        guard name.count >= parts[0].count + parts[parts.count - 1].count, name.starts(with: parts[0]),
            name.reversed().starts(with: parts[parts.count - 1].reversed())
        else { return false }
        // In between each part is found as early as it can be.
        var rest = name[parts[0].count..<(name.count - parts[parts.count - 1].count)]
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return true
    }

    package var forgetAt: Timestamp { reportedAt + lifetimeMs }

    /// - Throws: `invalidArgument` for what no store takes.
    package func check() throws(JobQueueError) {
        guard !name.isEmpty, lifetimeMs >= 1 else {
            throw .invalidArgument("a worker's report needs a name and a lifetime of at least 1 ms")
        }
        guard [stepMs, promptTokensPerSecond, generatedTokensPerSecond, cacheUse].allSatisfy(\.isFinite) else {
            throw .invalidArgument("worker \(name): its report has a figure that is no number")
        }
    }

    /// As stores keep it: a JSON object.
    var storedText: String {
        JSON.object(
            JSONObject([
                ("name", .string(name)), ("host", .string(host)), ("pid", .int(Int64(processID))),
                ("models", .array(models.map(JSON.string))), ("backend", .string(backend)),
                ("phase", .string(phase.rawValue)), ("started_at", .int(startedAt.milliseconds)),
                ("reported_at", .int(reportedAt.milliseconds)), ("lifetime_ms", .int(lifetimeMs)),
                ("leased", .int(Int64(leasedRequests))), ("sequences", .int(Int64(runningSequences))),
                ("step_ms", .double(stepMs)), ("prompt_tokens_s", .double(promptTokensPerSecond)),
                ("generated_tokens_s", .double(generatedTokensPerSecond)), ("cache_use", .double(cacheUse)),
            ])
        ).text
    }

    /// Nil when `text` is not what `storedText` writes.
    init?(storedText text: String) {
        guard let json = try? JSON(parsing: text), let name = json["name"]?.string, let host = json["host"]?.string,
            let processID = json["pid"]?.int, let models = json["models"]?.array, let backend = json["backend"]?.string,
            let phase = json["phase"]?.string.flatMap(Phase.init), let startedAt = json["started_at"]?.int,
            let reportedAt = json["reported_at"]?.int, let lifetimeMs = json["lifetime_ms"]?.int,
            let leased = json["leased"]?.int, let sequences = json["sequences"]?.int,
            let stepMs = json["step_ms"]?.double, let promptRate = json["prompt_tokens_s"]?.double,
            let generatedRate = json["generated_tokens_s"]?.double, let cacheUse = json["cache_use"]?.double
        else { return nil }
        self.init(
            name: name, host: host, processID: processID, models: models.compactMap(\.string), backend: backend,
            phase: phase, startedAt: Timestamp(milliseconds: Int64(startedAt)),
            reportedAt: Timestamp(milliseconds: Int64(reportedAt)), lifetimeMs: Int64(lifetimeMs),
            leasedRequests: leased, runningSequences: sequences, stepMs: stepMs, promptTokensPerSecond: promptRate,
            generatedTokensPerSecond: generatedRate, cacheUse: cacheUse)
    }
}
