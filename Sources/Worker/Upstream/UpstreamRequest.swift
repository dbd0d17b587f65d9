/// One HTTP request to an upstream.
package struct UpstreamRequest: Sendable {
    package enum Method: String, Sendable { case get = "GET", post = "POST", delete = "DELETE" }

    package var method: Method
    /// `https://api.groq.com/openai/v1`: scheme, host, optional port, and what comes before every path. No
    /// key, no query.
    package var baseURL: String
    /// `/chat/completions`; appended to `baseURL`.
    package var path: String
    package var body: [UInt8]
    package var contentType = "application/json"
    /// Sent as a bearer token; nil: without one, as local servers are used.
    package var key: ProviderKey?
    /// More headers, in this order.
    package var headers: [UpstreamHeader] = []
    package var timeouts = UpstreamTimeouts()
    /// Of the decoded body; a longer one is cut off and fails as `.tooLarge`.
    package var maxReplyBytes = 16 << 20

    package init(
        _ method: Method = .post, baseURL: String, path: String, body: [UInt8] = [], key: ProviderKey? = nil
    ) {
        self.method = method
        self.baseURL = baseURL
        self.path = path
        self.body = body
        self.key = key
    }

    /// One slash between the two, however they are written.
    var url: String {
        let base = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        return path.hasPrefix("/") ? base + path : "\(base)/\(path)"
    }
}

package struct UpstreamHeader: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// How long the parts of a transfer may take, in milliseconds.
package struct UpstreamTimeouts: Sendable, Equatable {
    /// Name look-up, connection and TLS handshake.
    package var connectMs: Int64 = 10_000
    /// From the request's last byte to the answer's first: what an upstream that does not stream takes to compute.
    package var firstByteMs: Int64 = 300_000
    /// Without a byte, once the answer has begun.
    package var stallMs: Int64 = 30_000
    /// Everything, waiting for a connection included.
    package var totalMs: Int64 = 600_000

    package init() {}
}
