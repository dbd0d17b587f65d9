import ArgumentParser
import Foundation
import Worker

/// An upstream as `millrace run` names it on the command line.
struct BackendOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What computes: cpu (this machine), groq, openai, or the URL of an OpenAI-compatible server.",
            valueName: "backend"))
    var backend = "cpu"

    @Option(
        help: ArgumentHelp(
            "Where the upstream's key is: env:NAME, file:PATH or credential:NAME (default: env:GROQ_API_KEY or "
                + "env:OPENAI_API_KEY; none for a URL).", valueName: "source"))
    var apiKey: String?

    @Option(help: ArgumentHelp("Where groq's or openai's API begins, if elsewhere than usual.", valueName: "url"))
    var baseURL: String?

    @Option(help: ArgumentHelp("The upstream's service tier, for requests that name none.", valueName: "name"))
    var serviceTier: String?

    @Option(help: ArgumentHelp("Requests under way at the upstream at once.", valueName: "n"))
    var maxConcurrent = 2000

    var isLocal: Bool { backend == "cpu" }

    func validate() throws {
        guard (1...100_000).contains(maxConcurrent) else {
            throw ValidationError("--max-concurrent \(maxConcurrent) is not from 1 to 100000")
        }
        if isLocal {
            guard apiKey == nil, baseURL == nil, serviceTier == nil else {
                throw ValidationError("--api-key, --base-url and --service-tier are for upstreams: give --backend")
            }
        } else if url == nil {
            throw ValidationError(
                "--backend '\(backend)' is not cpu, groq, openai or a URL beginning with http:// or https://")
        }
        for text in [url, baseURL].compactMap(\.self) {
            guard text.hasPrefix("http://") || text.hasPrefix("https://"), let parts = URL(string: text),
                parts.host?.isEmpty == false, parts.user == nil, parts.query == nil
            else { throw ValidationError("'\(text)' is no URL of a server, as http://127.0.0.1:8000/v1") }
        }
    }

    private var dialect: UpstreamDialect { UpstreamDialect(rawValue: backend) ?? .generic }
    private var url: String? { baseURL ?? dialect.defaultBaseURL ?? (backend.contains("://") ? backend : nil) }

    /// - Throws: `SecretError` when its key cannot be read.
    func target() throws -> UpstreamTarget {
        let name = dialect == .generic ? URL(string: backend)?.host ?? backend : backend
        var target = UpstreamTarget(name: name, dialect: dialect, baseURL: url ?? "")
        target.limits.maxConcurrent = maxConcurrent
        target.serviceTier = serviceTier
        let usual: String? =
            switch dialect {
            case .groq: "env:GROQ_API_KEY"
            case .openai: "env:OPENAI_API_KEY"
            case .generic: nil
            }
        if let source = apiKey ?? usual { target.key = try SecretSource(source).key() }
        return target
    }
}
