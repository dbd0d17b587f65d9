// Source: https://console.groq.com/docs/rate-limits; OpenAI's are named alike
// (https://platform.openai.com/docs/guides/rate-limits).

/// What an upstream says of its limits in the headers of an answer. Groq counts requests by the day and tokens by the
/// minute; OpenAI both by the minute. A header that is missing or cannot be read is nil: silence, not zero.
package struct RateLimitHeaders: Sendable, Equatable {
    package struct Window: Sendable, Equatable {
        package var limit: Int64?
        package var remaining: Int64?
        /// Until the window is as good as new, from the answer's arrival.
        package var resetMs: Int64?

        package init(limit: Int64? = nil, remaining: Int64? = nil, resetMs: Int64? = nil) {
            self.limit = limit
            self.remaining = remaining
            self.resetMs = resetMs
        }

        package var isSilent: Bool { limit == nil && remaining == nil && resetMs == nil }
    }

    package var requests: Window
    package var tokens: Window
    /// Not before this long after the answer's arrival.
    package var retryAfterMs: Int64?

    package init(requests: Window = Window(), tokens: Window = Window(), retryAfterMs: Int64? = nil) {
        self.requests = requests
        self.tokens = tokens
        self.retryAfterMs = retryAfterMs
    }

    /// - Parameter headers: names in lower case.
    package init(_ headers: [UpstreamHeader]) {
        func text(_ name: String) -> String? { headers.last { $0.name == name }?.value }
        func count(_ name: String) -> Int64? { text(name).flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil } }
        func window(_ kind: String) -> Window {
            Window(
                limit: count("x-ratelimit-limit-\(kind)"), remaining: count("x-ratelimit-remaining-\(kind)"),
                resetMs: text("x-ratelimit-reset-\(kind)").flatMap(Self.durationMs))
        }
        requests = window("requests")
        tokens = window("tokens")
        retryAfterMs =
            text("retry-after-ms").flatMap { Self.scaled($0, by: 1) }
            ?? text("retry-after").flatMap { Self.retryAfterMs($0, date: text("date")) }
    }

    /// `2m59.56s`, `120ms`, `1h2m3s`, `1d`, `7.66s`, a bare `5` (seconds). Rounded up: a wait must be long enough.
    /// nil when it is no duration.
    package static func durationMs(_ text: String) -> Int64? {
        var rest = Substring(text.drop { $0 == " " })
        while rest.last == " " { rest.removeLast() }
        guard !rest.isEmpty else { return nil }
        if let seconds = scaled(String(rest), by: 1000) { return seconds }
        var sum = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let unitMs = unitsMs[String(unit)] else { return nil }
            sum += value * unitMs
        }
        return rounded(sum)
    }

    private static let unitsMs: [String: Double] = [
        "ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1, "s": 1e3, "m": 6e4, "h": 3.6e6, "d": 8.64e7,
    ]

    /// Seconds, or an HTTP date compared with the upstream's own clock, so that its skew does not matter. A date
    /// without one to compare it with says nothing.
    static func retryAfterMs(_ text: String, date: String?) -> Int64? {
        if let ms = scaled(text, by: 1000) { return ms }
        guard let until = HTTPDate.seconds(text), let now = date.flatMap(HTTPDate.seconds) else { return nil }
        return max(0, until - now) * 1000
    }

    private static func scaled(_ text: String, by factor: Double) -> Int64? {
        guard let value = Double(text), value >= 0, text.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") })
        else { return nil }
        return rounded(value * factor)
    }

    /// Nothing waits longer than ten years.
    private static func rounded(_ ms: Double) -> Int64? {
        guard ms.isFinite else { return nil }
        // A hair below, so that 59.56 s is 59,560 ms and not one more for its last binary digit.
        return Int64(min((ms - 1e-7).rounded(.up), 3.2e11))
    }
}
