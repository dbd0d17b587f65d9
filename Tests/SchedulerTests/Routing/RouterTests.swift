import Scheduler
import Testing

@Suite struct RouterTests {
    private static let router = Router(routes: [
        Route(
            name: "shared", models: [NamePattern("llama-*")], tenants: [NamePattern("a*"), NamePattern("b")],
            targets: [
                Route.Target(backend: "x", weight: 3), Route.Target(backend: "y", weight: 1),
                Route.Target(backend: "z", weight: 1),
            ], fallbacks: [Route.Target(backend: "f"), Route.Target(backend: "g", model: "other")]),
        Route(
            name: "own", models: [NamePattern("tiny")], targets: [Route.Target(backend: "local")],
            spill: SpillRule(
                to: Route.Target(backend: "groq", model: "tiny-groq"), whenBacklogTokens: 1000, budgetLeft: 0.25)),
    ])

    private func facts(_ i: Int, model: String = "llama-3", tenant: String = "acme") -> RequestFacts {
        RequestFacts(model: model, tenant: tenant, identity: Array("batch/\(i)".utf8))
    }

    @Test func sharesFollowTheWeights() {
        var counts: [String: Int] = [:]
        for i in 0..<10_000 { counts[Self.router.decide(facts(i)).target?.backend ?? "", default: 0] += 1 }
        #expect((5800...6200).contains(counts["x"] ?? 0))
        #expect((1850...2150).contains(counts["y"] ?? 0))
        #expect((1850...2150).contains(counts["z"] ?? 0))
    }

    @Test func onlyWhatWasOnAParkedBackendMoves() {
        let state = RouterState(parked: ["x": "its key was refused"])
        var moved = 0
        for i in 0..<2000 {
            let before = Self.router.decide(facts(i))
            let after = Self.router.decide(facts(i), state)
            #expect(Self.router.decide(facts(i)) == before, "the same each time")
            guard before.target?.backend == "x" else {
                #expect(after == before)
                continue
            }
            moved += 1
            #expect(["y", "z"].contains(after.target?.backend))
            #expect(after.reason.contains("x is parked: its key was refused"))
        }
        #expect(moved > 1000)
    }

    @Test func fallbacksComeInOrderAndThenItWaits() {
        var state = RouterState(parked: ["x": "a", "y": "b", "z": "c"])
        #expect(Self.router.decide(facts(1), state).target == Route.Target(backend: "f"))
        state.parked["f"] = "d"
        #expect(Self.router.decide(facts(1), state).target == Route.Target(backend: "g", model: "other"))
        state.parked["g"] = "e"
        #expect(Self.router.decide(facts(1), state).place == .wait)
    }

    @Test func aRequestWithoutARouteGoesNowhere() {
        for request in [facts(1, model: "gpt"), facts(1, tenant: "c"), facts(1, tenant: "bb"), facts(1, model: "")] {
            let decision = Self.router.decide(request)
            #expect(decision.place == .none)
            #expect(decision.reason.contains("\"\(request.model)\""))
        }
    }

    @Test func spillsWhenItsRuleHolds() {
        func backend(_ state: RouterState) -> String? {
            Self.router.decide(facts(1, model: "tiny"), state).target?.backend
        }
        #expect(backend(RouterState()) == "local")
        #expect(backend(RouterState(localBacklogTokens: 1000)) == "local")
        #expect(backend(RouterState(localBacklogTokens: 1001)) == "groq")
        #expect(backend(RouterState(isDeadlineAtRisk: true)) == "groq")
        #expect(backend(RouterState(budgetLeft: ["groq": 0.25], isDeadlineAtRisk: true)) == "groq")
        #expect(backend(RouterState(budgetLeft: ["groq": 0.24], isDeadlineAtRisk: true)) == "local")
        #expect(backend(RouterState(parked: ["groq": "down"], isDeadlineAtRisk: true)) == "local")
        let decision = Self.router.decide(facts(1, model: "tiny"), RouterState(isDeadlineAtRisk: true))
        #expect(decision.target?.model == "tiny-groq")
        #expect(decision.reason.contains("deadline"))
    }

    @Test(arguments: [
        ("*", "", true), ("*", "anything", true), ("a*", "a", true), ("a*", "b", false), ("*b", "aab", true),
        ("a*b*c", "axxbyyc", true), ("a*b*c", "axxbyy", false), ("a**c", "ac", true), ("", "", true), ("", "a", false),
        ("a?c", "abc", false), ("\u{E9}", "e\u{301}", false), ("*aab", "aaaab", true), ("abc", "abcd", false),
    ])
    func patternsMatch(_ pattern: String, _ name: String, _ expected: Bool) {
        #expect(NamePattern(pattern).matches(name) == expected)
    }
}
