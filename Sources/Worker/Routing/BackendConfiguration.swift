import Foundation
import Scheduler

/// A place that computes requests, as the operator wrote it down.
package struct BackendConfiguration: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        /// Workers of ours that lease from the same queue.
        case local
        case groq
        case openai
        /// vLLM, SGLang, llama.cpp and whatever else speaks as OpenAI does.
        case generic

        var defaultURL: String? {
            switch self {
            case .groq: "https://api.groq.com/openai/v1"
            case .openai: "https://api.openai.com/v1"
            case .local, .generic: nil
            }
        }

        /// What its headers' request figures count.
        var requestHeaderSpan: RateSpan { self == .openai ? .minute : .day }
    }

    /// How requests get there.
    package enum Mode: String, Sendable, CaseIterable {
        /// Each on its own, at once.
        case requests
        /// Many in a file, through the upstream's batch API: cheaper, some time within `batchWindow`.
        case batch
    }

    package var name: String
    package var kind: Kind
    package var mode: Mode
    package var batchWindow: String
    /// Whether files of requests and results stay at the upstream when they are done with.
    package var keepsFiles: Bool
    /// Where its API begins; nil for local ones.
    package var baseURL: URL?
    /// The operator's key; nil: none is sent, or only tenants' own.
    package var key: SecretSource?
    /// Name under which a tenant may have brought its own key, which then takes the operator's place.
    package var tenantKey: String?
    package var limits: RateLimits
    /// Backends with the same name share one organisation's limits.
    package var organisation: String
    package var serviceTier: String?
    /// Of a whole request.
    package var timeoutMs: Int64
    package var connectTimeoutMs: Int64
    package var maxAnswerBytes: Int

    static let keys = [
        "kind", "url", "key", "tenant_key", "organisation", "service_tier", "requests_per_minute", "requests_per_day",
        "tokens_per_minute", "tokens_per_day", "max_concurrent", "timeout_s", "connect_timeout_s", "max_answer_mb",
        "mode", "batch_window", "keep_files",
    ]

    init(_ node: TOMLNode, name: String) throws(ConfigurationError) {
        try node.allow(Self.keys)
        self.name = name
        guard let kindNode = node["kind"] else { throw node.error("kind is missing: \(Self.kinds)") }
        guard let kind = Kind(rawValue: try kindNode.text()) else { throw kindNode.error("must be \(Self.kinds)") }
        self.kind = kind
        let modes = Mode.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        mode = try node["mode"].map { node throws(ConfigurationError) in
            guard let mode = Mode(rawValue: try node.text()) else { throw node.error("must be one of \(modes)") }
            return mode
        } ?? .requests
        batchWindow = try node["batch_window"].map { node throws(ConfigurationError) in
            let text = try node.text()
            let hours = Int(text.dropLast()).map { text.hasSuffix("d") ? 24 * $0 : $0 }
            guard text.hasSuffix("h") || text.hasSuffix("d"), let hours, (24...168).contains(hours) else {
                throw node.error("must be from \"24h\" to \"7d\"")
            }
            return text
        } ?? "24h"
        keepsFiles = try node["keep_files"]?.bool() ?? false
        let ofBatches = ["batch_window", "keep_files"]
        if mode != .batch, let wrong = node.members.first(where: { ofBatches.contains($0.name) }) {
            throw wrong.node.error("is for backends with mode = \"batch\"")
        }
        baseURL = try Self.url(node, kind)
        key = try node["key"].map { node throws(ConfigurationError) in
            do { return try SecretSource(try node.text()) } catch let error as SecretError {
                throw node.error(error.description)
            } catch { throw node.error("\(error)") }
        }
        tenantKey = try node["tenant_key"]?.text()
        organisation = try node["organisation"]?.text() ?? name
        serviceTier = try node["service_tier"]?.text()
        func count(_ name: String) throws(ConfigurationError) -> Int? { try node[name]?.int(1...1 << 40) }
        limits = RateLimits(
            requestsPerMinute: try count("requests_per_minute"), requestsPerDay: try count("requests_per_day"),
            tokensPerMinute: try count("tokens_per_minute"), tokensPerDay: try count("tokens_per_day"),
            maxConcurrent: try node["max_concurrent"]?.int(1...100_000) ?? 2000,
            requestHeaderSpan: kind.requestHeaderSpan)
        timeoutMs = Int64((try node["timeout_s"]?.double(0.001...86_400) ?? 600) * 1000)
        connectTimeoutMs = Int64((try node["connect_timeout_s"]?.double(0.001...3600) ?? 10) * 1000)
        maxAnswerBytes = (try node["max_answer_mb"]?.int(1...1024) ?? 64) << 20
        if kind == .local, let wrong = node.members.first(where: { $0.name != "kind" }) {
            throw wrong.node.error("is for upstreams; a local backend is what workers on this queue compute")
        }
    }

    private static let kinds = Kind.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")

    private static func url(_ node: TOMLNode, _ kind: Kind) throws(ConfigurationError) -> URL? {
        guard let urlNode = node["url"] else {
            if kind == .generic {
                throw node.error("url is missing: where its API begins, as http://host:8000/v1")
            }
            return kind.defaultURL.flatMap { URL(string: $0) }
        }
        var text = try urlNode.text()
        while text.hasSuffix("/") { text.removeLast() }
        guard let url = URL(string: text), let scheme = url.scheme, ["http", "https"].contains(scheme),
            let host = url.host, !host.isEmpty
        else { throw urlNode.error("must begin with http:// or https:// and name a host") }
        // A key in the address would end up in logs.
        guard url.user == nil, url.password == nil, url.query == nil else {
            throw urlNode.error("must not hold a user, password or query: a key is named by 'key'")
        }
        return url
    }
}
