/// What a server allows one organisation; nil: not limited, or not known until its headers say so.
package struct RateLimits: Sendable, Hashable, Codable {
    package var requestsPerMinute: Int?
    package var requestsPerDay: Int?
    package var tokensPerMinute: Int?
    package var tokensPerDay: Int?
    /// Requests in flight at most.
    package var maxConcurrent: Int
    /// What the headers' request figures count; tokens are counted per minute everywhere.
    package var requestHeaderSpan: RateSpan

    package init(
        requestsPerMinute: Int? = nil, requestsPerDay: Int? = nil, tokensPerMinute: Int? = nil,
        tokensPerDay: Int? = nil, maxConcurrent: Int = 2000, requestHeaderSpan: RateSpan = .day
    ) {
        self.requestsPerMinute = requestsPerMinute
        self.requestsPerDay = requestsPerDay
        self.tokensPerMinute = tokensPerMinute
        self.tokensPerDay = tokensPerDay
        self.maxConcurrent = maxConcurrent
        self.requestHeaderSpan = requestHeaderSpan
    }
}

package enum RateSpan: String, Sendable, Equatable, Codable, CaseIterable {
    case minute, day

    package var milliseconds: Int64 { self == .minute ? 60_000 : 86_400_000 }
}
