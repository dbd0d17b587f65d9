import ArgumentParser
import Foundation
import JSON
import Scheduler
import Worker

/// `millrace routes`
struct RoutesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routes", abstract: "Check where requests go, and why.", subcommands: [RoutesTestCommand.self])
}

/// `millrace routes test --config FILE --model NAME`
struct RoutesTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Show where a request would go, and why.",
        discussion: """
            Reads the whole file and names the first thing wrong with it. Nothing is sent, and no key is read. \
            Exit codes: 0 it goes somewhere; 1 it does not; 2 the file cannot be used; 64 wrong usage.
            """)

    @Option(help: ArgumentHelp("Routes file.", valueName: "file")) var config: String
    @Option(help: ArgumentHelp("Model that the request names.", valueName: "name")) var model: String
    @Option(help: ArgumentHelp("Tenant.", valueName: "name")) var tenant = "default"
    @Option(help: ArgumentHelp("Its custom_id; requests are spread by it.", valueName: "text")) var customID = ""
    @Option(help: ArgumentHelp("As if this backend took nothing; may be repeated.", valueName: "backend"))
    var parked: [String] = []
    @Option(help: ArgumentHelp("As if so many tokens waited for local workers.", valueName: "n")) var backlog = 0
    @Flag(help: "As if the batch would miss its deadline.") var atRisk = false
    @Option(help: ArgumentHelp("Price this many prompt tokens.", valueName: "n")) var promptTokens = 1000
    @Option(help: ArgumentHelp("Price this many completion tokens.", valueName: "n")) var completionTokens = 1000
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        let report: RouteReport
        do {
            let configuration = try RouteConfiguration.read(config)
            for name in parked where configuration.backends[name] == nil {
                throw ValidationError("--parked \(name): there is no [backend.\(name)]")
            }
            report = RouteReport(
                configuration,
                facts: RequestFacts(model: model, tenant: tenant, identity: Array(customID.utf8)),
                state: RouterState(
                    parked: Dictionary(parked.map { ($0, "as asked") }, uniquingKeysWith: { first, _ in first }),
                    localBacklogTokens: backlog, isDeadlineAtRisk: atRisk),
                promptTokens: promptTokens, completionTokens: completionTokens)
        } catch let error as ConfigurationError {
            ConsoleOutput.note("millrace: \(error)")
            throw ExitCode(ExitStatus.input)
        }
        print(json ? report.json.text : report.text)
        if !report.goesSomewhere { throw ExitCode(ExitStatus.someFailed) }
    }
}

/// `millrace routes test`'s answer, as text or JSON.
struct RouteReport {
    private var lines: [(label: String, key: String, value: JSON)]
    let goesSomewhere: Bool

    init(
        _ configuration: RouteConfiguration, facts: RequestFacts, state: RouterState, promptTokens: Int,
        completionTokens: Int
    ) {
        let decision = configuration.router.decide(facts, state)
        lines = [
            ("model", "model", .string(facts.model)), ("tenant", "tenant", .string(facts.tenant)),
            ("route", "route", decision.route.isEmpty ? .null : .string(decision.route)),
        ]
        goesSomewhere = decision.target != nil
        if let target = decision.target, let backend = configuration.backends[target.backend] {
            let name = target.model ?? facts.model
            lines += [
                ("backend", "backend", .string(target.backend)), ("kind", "kind", .string(backend.kind.rawValue)),
                ("model there", "upstream_model", .string(name)),
            ]
            if let url = backend.baseURL { lines.append(("URL", "url", .string(url.absoluteString))) }
            if let key = backend.key { lines.append(("key from", "key_source", .string(key.description))) }
            if let own = backend.tenantKey { lines.append(("tenant's key", "tenant_key", .string(own))) }
            if let price = configuration.prices.price(backend: target.backend, model: name) {
                let cost = price.cost(promptTokens: promptTokens, cachedTokens: 0, completionTokens: completionTokens)
                let what = "cost of \(promptTokens) + \(completionTokens) tokens, USD"
                lines.append((what, "cost_usd", .double(cost.dollars)))
            } else if backend.kind != .local {
                lines.append(("cost", "cost_usd", .null))
            }
            if backend.mode == .batch {
                lines.append(("mode", "mode", .string("batch, within \(backend.batchWindow)")))
            }
            let caps = configuration.caps(tenant: facts.tenant)
            for (kind, cap) in caps.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                lines.append(("cap per \(kind.rawValue)", "cap_\(kind.rawValue)", .string(cap.text)))
            }
        }
        lines.append(("because", "reason", .string(decision.reason)))
    }

    var text: String {
        let width = lines.map(\.label.count).max() ?? 0
        return lines.map { line in
            let value = line.value.string ?? (line.value.isNull ? "none" : line.value.text)
            return line.label.padding(toLength: width + 2, withPad: " ", startingAt: 0) + value
        }.joined(separator: "\n")
    }

    var json: JSON { .object(JSONObject(lines.map { (name: $0.key, value: $0.value) })) }
}
