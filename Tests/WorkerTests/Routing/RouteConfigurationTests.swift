import Foundation
import Scheduler
import Testing
import Worker

@Suite struct RouteConfigurationTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private func parse(_ text: String) throws(ConfigurationError) -> RouteConfiguration {
        try RouteConfiguration(TOMLNode.parse(Array(text.utf8), file: "r.toml"))
    }

    @Test func theExampleMeansWhatItSays() throws {
        let example = try RouteConfiguration.read(Self.root.appending(path: "deploy/routes.toml").path)
        #expect(example.backends.keys.sorted() == ["groq", "local", "vllm"])
        let groq = try #require(example.backends["groq"])
        #expect(groq.key == .credential("keys_groq"))
        #expect(groq.tenantKey == "groq")
        #expect(groq.baseURL?.absoluteString == "https://api.groq.com/openai/v1")
        #expect(groq.limits.requestsPerMinute == 1000)
        #expect(groq.limits.requestsPerDay == 500_000)
        #expect(groq.limits.tokensPerMinute == 250_000)
        #expect(groq.limits.requestHeaderSpan == .day)
        #expect(example.masterKey == .credential("keys_master"))
        func decide(_ model: String, _ tenant: String = "t", atRisk: Bool = false) -> RouteDecision {
            example.router.decide(
                RequestFacts(model: model, tenant: tenant), RouterState(isDeadlineAtRisk: atRisk))
        }
        #expect(decide("smollm2").target == Route.Target(backend: "local"))
        #expect(decide("smollm2", atRisk: true).target?.model == "llama-3.1-8b-instant")
        #expect(["vllm", "groq"].contains(decide("llama-3.3-70b", "research-a").target?.backend))
        #expect(decide("llama-3.3-70b").target == Route.Target(backend: "groq"))
        let cheap = try #require(example.prices.price(backend: "groq", model: "llama-3.1-8b-instant"))
        #expect(cheap.cost(promptTokens: 1_000_000, cachedTokens: 0, completionTokens: 0) == Money(dollars: 0.05))
        let other = try #require(example.prices.price(backend: "groq", model: "llama-3.3-70b-versatile"))
        let cost = other.cost(promptTokens: 2_000_000, cachedTokens: 1_000_000, completionTokens: 0)
        #expect(cost == Money(dollars: 0.885))
        #expect(example.prices.price(backend: "vllm", model: "x") == nil)
        #expect(example.caps(tenant: "acme") == [.batch: SpendCap(money: Money(dollars: 25))])
        #expect(example.caps(tenant: "trial-7")[.tenantMonth]?.tokens == 20_000_000)
    }

    private static let head = "[backend.g]\nkind = \"groq\"\n[backend.l]\nkind = \"local\"\n"
    private static let route = "[[route]]\nmodels = [\"*\"]\nto = \"g\"\n"

    /// Every mistake is named with its file, line and key.
    @Test(arguments: [
        ("", "r.toml: no [[route]]"),
        ("[backend", "r.toml:1: "),
        ("x = 1\nx = 2", "r.toml:2: "),
        ("colour = 1", "r.toml:1: colour: is not known here; known are backend, route"),
        ("[backend.g]\nurl = \"http://a\"", "r.toml:1: backend.g: kind is missing"),
        ("[backend.g]\n\nkind = \"grok\"", "r.toml:3: backend.g.kind: must be \"local\", \"groq\""),
        ("[backend.g]\nkind = \"generic\"", "r.toml:1: backend.g: url is missing"),
        ("[backend.g]\nkind = \"generic\"\nurl = \"ftp://a/\"", "r.toml:3: backend.g.url: must begin with http"),
        ("[backend.g]\nkind = \"groq\"\nurl = \"https://u:p@a/v1\"", "r.toml:3: backend.g.url: must not hold a user"),
        ("[backend.g]\nkind = \"groq\"\nkey = \"gsk_secret\"", "r.toml:3: backend.g.key: say where the secret is kept"),
        ("[backend.g]\nkind = \"groq\"\nkey = \"credential:../x\"", "r.toml:3: backend.g.key: a credential is named"),
        ("[backend.g]\nkind = \"groq\"\nrequests_per_minute = 0", "r.toml:3: backend.g.requests_per_minute: must be"),
        ("[backend.g]\nkind = \"groq\"\nrpm = 5", "r.toml:3: backend.g.rpm: is not known here"),
        ("[backend.l]\nkind = \"local\"\nkey = \"env:K\"", "r.toml:3: backend.l.key: is for upstreams"),
        ("[backend.g]\nkind = \"groq\"\nkeep_files = true", "r.toml:3: backend.g.keep_files: is for backends"),
        ("[backend.g]\nkind = \"groq\"\nbatch_window = \"48h\"", "r.toml:3: backend.g.batch_window: is for backends"),
        (head + "[[route]]\nto = \"g\"", "r.toml:5: route[0]: models is missing"),
        (head + "[[route]]\nmodels = \"m\"", "r.toml:5: route[0]: to is missing"),
        (head + "[[route]]\nmodels = []\nto = \"g\"", "r.toml:6: route[0].models: must not be empty"),
        (head + "[[route]]\nmodels = [\"a\", 3]\nto = \"g\"", "r.toml:6: route[0].models[1]: must be a text"),
        (head + "[[route]]\nmodels = \"m\"\nto = \"q\"", "r.toml:7: route[0].to: there is no [backend.q]; there"),
        (head + "[[route]]\nmodels = \"m\"\nto = [{ backend = \"g\", weight = -1 }]", "r.toml:7: route[0].to[0].weig"),
        (head + "[[route]]\nmodels = \"m\"\nto = \"g\"\nspill = { to = \"g\" }", "r.toml:8: route[0].spill: spilling"),
        (
            head + "[[route]]\nmodels = \"m\"\nto = \"l\"\nspill = { to = \"g\", deadline = false }",
            "r.toml:8: route[0].spill: nothing would ever spill"
        ),
        (head + route + "[[price]]\nbackend = \"g\"\nmodels = \"*\"\ninput = 1", "r.toml:8: price[0]: input and"),
        (
            head + route + "[[price]]\nbackend = \"g\"\nmodels = \"*\"\ninput = -1\noutput = 1",
            "r.toml:11: price[0].input: must be a number"
        ),
        (
            head + route + "[[price]]\nbackend = \"l\"\nmodels = \"*\"\ninput = 1\noutput = 1",
            "r.toml:9: price[0].backend: is local, and"
        ),
        (head + route + "[[cap]]\nper = \"week\"\nusd = 1", "r.toml:9: cap[0].per: must be \"batch\""),
        (head + route + "[[cap]]\nper = \"batch\"", "r.toml:8: cap[0]: usd or tokens is missing"),
    ])
    func mistakesAreNamed(_ text: String, _ expected: String) throws {
        let error = #expect(throws: ConfigurationError.self) { try parse(text) }
        let message = try #require(error).description
        #expect(message.hasPrefix(expected), "\(message)")
        #expect(!message.contains("gsk_secret"), "what may be a key is not repeated")
    }

    @Test func aFileThatIsNotThereIsNamed() {
        let error = #expect(throws: ConfigurationError.self) { try RouteConfiguration.read("/nowhere/r.toml") }
        #expect(error?.description.hasPrefix("/nowhere/r.toml cannot be read") == true)
    }
}
