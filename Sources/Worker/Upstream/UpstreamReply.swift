import Scheduler

/// What came of a request to an upstream: an answer, whatever its status, or the cause why there is none.
package struct UpstreamReply: Sendable {
    /// 0 where no answer began.
    package var status: Int
    /// Those of the answer's headers that somebody reads; names in lower case.
    package var headers: [UpstreamHeader]
    package var limits: RateReport
    /// Decoded (gzip), with the request's key replaced wherever it occurred. Incomplete where there is a failure.
    package var body: [UInt8]
    package var timings: UpstreamTimings
    package var failure: UpstreamFailure?
    /// How often the request was put on a connection. 0: it never left. Over 1: a stale connection swallowed it, and it
    /// was put on another.
    package var sends: Int
    package var usesHTTP2: Bool

    package init(
        status: Int = 0, headers: [UpstreamHeader] = [], body: [UInt8] = [],
        timings: UpstreamTimings = UpstreamTimings(), failure: UpstreamFailure? = nil, sends: Int = 1,
        usesHTTP2: Bool = false
    ) {
        self.status = status
        self.headers = headers
        self.limits = RateReport(headers)
        self.body = body
        self.timings = timings
        self.failure = failure
        self.sends = sends
        self.usesHTTP2 = usesHTTP2
    }

    /// Whether the upstream may have received the request, and so may compute it, or have computed it, though its
    /// answer did not arrive. Sending the request again may then do the work twice.
    package var mayHaveRun: Bool { sends > 0 }

    /// Of repeated headers the last.
    package func header(_ name: String) -> String? { headers.last { $0.name == name }?.value }

    /// Whether a header is kept in `headers`.
    static func keeps(_ name: String) -> Bool {
        name.hasPrefix("x-ratelimit-") || kept.contains(name)
    }

    private static let kept: Set = [
        "retry-after", "retry-after-ms", "content-type", "date", "x-request-id", "x-groq-region", "x-should-retry",
    ]
}

/// When the parts of a transfer were over, in milliseconds from its start; 0: not reached, or at once.
package struct UpstreamTimings: Sendable, Equatable {
    package var connectedMs: Int64 = 0
    package var sentMs: Int64 = 0
    package var firstByteMs: Int64 = 0
    package var totalMs: Int64 = 0

    package init() {}
}

/// Why there is no whole answer. Each is worth another try, though perhaps not soon.
package struct UpstreamFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Cause: String, Sendable, CaseIterable {
        /// The host's name cannot be resolved.
        case resolve
        case connect
        /// The handshake failed, or the certificate is not trusted.
        case tls
        case connectTimeout
        case firstByteTimeout
        case stall
        case totalTimeout
        /// The connection broke before the answer began.
        case reset
        /// The connection broke, or the body ended, before the answer was whole.
        case truncated
        case tooLarge
        /// All transfers together hold more than `Upstream.Settings.maxBufferedBytes`.
        case outOfMemory
        case notJSON
        /// The client itself stopped, or the request was cancelled.
        case cancelled
        /// The request cannot be sent: its URL is no URL.
        case unusable
        case other
    }

    package var cause: Cause
    /// What, where (host and path) and what to do; never a key.
    package var message: String

    package init(_ cause: Cause, _ message: String) {
        self.cause = cause
        self.message = message
    }

    package var description: String { message }
}
