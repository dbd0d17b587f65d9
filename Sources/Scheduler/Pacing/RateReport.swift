/// What an answer's headers say of the limits it was counted against. All durations are from when the answer came.
///
/// Names and forms as Groq documents them (https://console.groq.com/docs/rate-limits): requests are counted per day,
/// tokens per minute, resets are written `2m59.56s`, `7.66s`, `120ms`; `retry-after` is in seconds, with a refusal
/// only. OpenAI uses the same names, with both counted per minute.
package struct RateReport: Sendable, Equatable {
    package struct Amount: Sendable, Equatable {
        package var limit: Int?
        package var remaining: Int?
        package var resetMs: Int64?

        package init(limit: Int? = nil, remaining: Int? = nil, resetMs: Int64? = nil) {
            self.limit = limit
            self.remaining = remaining
            self.resetMs = resetMs
        }
    }

    package var requests: Amount
    package var tokens: Amount
    package var retryAfterMs: Int64?

    package init(requests: Amount = Amount(), tokens: Amount = Amount(), retryAfterMs: Int64? = nil) {
        self.requests = requests
        self.tokens = tokens
        self.retryAfterMs = retryAfterMs
    }

    /// Reads the headers it knows; names in any case. What cannot be read is as if it were not there.
    package init(headers: some Sequence<(name: String, value: String)>) {
        self.init()
        for (name, value) in headers {
            switch name.lowercased() {
            case "x-ratelimit-limit-requests": requests.limit = Self.count(value)
            case "x-ratelimit-remaining-requests": requests.remaining = Self.count(value)
            case "x-ratelimit-reset-requests": requests.resetMs = Self.durationMs(value)
            case "x-ratelimit-limit-tokens": tokens.limit = Self.count(value)
            case "x-ratelimit-remaining-tokens": tokens.remaining = Self.count(value)
            case "x-ratelimit-reset-tokens": tokens.resetMs = Self.durationMs(value)
            case "retry-after": retryAfterMs = Self.durationMs(value)
            default: break
            }
        }
    }

    private static func trimmed(_ text: String) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        let head = text.drop(while: isSpace)
        return head.lastIndex { !isSpace($0) }.map { head[...$0] } ?? ""
    }

    /// No limit is larger: so sums and multiples of what a server says stay numbers.
    static let mostCount = 1 << 50

    private static func count(_ text: String) -> Int? {
        guard let value = Int(trimmed(text)), value >= 0 else { return nil }
        return min(value, mostCount)
    }

    /// `2m59.56s`, `120ms`, `1h2m3s`, or bare seconds (`7`, `7.66`); rounded up, so that nobody comes too early.
    package static func durationMs(_ text: String) -> Int64? {
        let units: [(name: String, ms: Double)] = [
            ("ms", 1), ("us", 0.001), ("\u{B5}s", 0.001), ("ns", 0.000_001), ("d", 86_400_000), ("h", 3_600_000),
            ("m", 60_000), ("s", 1000),
        ]
        var rest = trimmed(text)
        guard !rest.isEmpty else { return nil }
        var total = 0.0
        var isFirst = true
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let value = Double(digits), digits.first != "." || digits.count > 1 else { return nil }
            rest.removeFirst(digits.count)
            if rest.isEmpty && isFirst {
                total = value * 1000
            } else {
                guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
                rest.removeFirst(unit.name.count)
                total += value * unit.ms
            }
            isFirst = false
        }
        guard total < 4e15 else { return nil }
        // 0.56 * 1000 is a little more than 560: not a reason to wait one more.
        return Int64((total - 1e-6).rounded(.up))
    }
}

extension Int64 {
    /// Stops at the last instant there is, since durations come from servers.
    func advanced(byMs ms: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(ms)
        return overflow ? (ms > 0 ? .max : .min) : sum
    }
}
