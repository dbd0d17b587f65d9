import JobQueue
import Testing

/// What a report says of the models that its worker serves.
@Suite struct WorkerReportTests {
    private func serves(_ patterns: [String], _ model: String, _ phase: WorkerReport.Phase = .running) -> Bool {
        WorkerReport(
            name: "w", host: "h", processID: 1, models: patterns, backend: "cpu", phase: phase, startedAt: 0,
            reportedAt: 0
        ).serves(model)
    }

    @Test func aStarStandsForAnything() {
        for (pattern, model, expected) in [
            ("m", "m", true), ("m", "mm", false), ("*", "m", true), ("llama-*", "llama-3.1-8b", true),
            ("llama-*", "llama", false), ("*-8b", "llama-8b", true), ("*-8b", "llama-8b-x", false),
            ("a*b*c", "abc", true), ("a*b*c", "a--b--c", true), ("a*b*c", "acb", false), ("a*a", "a", false),
            ("a*b*b", "ab", false), ("a**c", "ac", true), ("*b*", "abc", true), ("*b*", "ac", false),
            ("caf\u{E9}", "cafe\u{301}", false),
        ] {
            #expect(serves([pattern], model) == expected, "\(pattern) \(model)")
        }
    }

    @Test func whoServesWhat() {
        #expect(serves(["x", "m"], "m"))
        #expect(!serves([], "m"))
        // No model is any.
        #expect(serves(["x"], ""))
        #expect(serves(["m"], "m", .starting))
        #expect(!serves(["m"], "m", .draining))
    }
}
