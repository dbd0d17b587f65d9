import JobQueue
import Scheduler

/// An upstream as requests are sent to it.
package struct UpstreamTarget: Sendable {
    /// What outcomes, logs and messages call it.
    package var name: String
    package var dialect: UpstreamDialect
    package var baseURL: String
    package var key: UpstreamKey?
    /// What is known of its limits beforehand; its headers tell the rest.
    package var limits: RateLimits
    package var timeouts = UpstreamTimeouts()
    package var maxReplyBytes = 16 << 20
    /// For requests that name none.
    package var serviceTier: String?
    /// Send completions as chats; nil: where the dialect has no completions.
    package var mapsCompletions: Bool?

    package init(
        name: String, dialect: UpstreamDialect, baseURL: String, key: UpstreamKey? = nil,
        limits: RateLimits? = nil
    ) {
        self.name = name
        self.dialect = dialect
        self.baseURL = baseURL
        self.key = key
        // OpenAI's headers count requests by the minute, Groq's by the day.
        self.limits = limits ?? RateLimits(requestHeaderSpan: dialect == .groq ? .day : .minute)
    }
}

/// Where one request goes.
package struct UpstreamChoice: Sendable {
    package var target: UpstreamTarget
    /// As the upstream names it; nil: as the request does.
    package var model: String?
    /// Requests of one group share a budget; nil: those of one key, target and model, as Groq limits them.
    package var limitGroup: String?

    package init(target: UpstreamTarget, model: String? = nil, limitGroup: String? = nil) {
        self.target = target
        self.model = model
        self.limitGroup = limitGroup
    }
}

/// Decides it; fails with the outcome of a request that no upstream takes.
package typealias UpstreamRouting = @Sendable (LeasedRequest) -> Result<UpstreamChoice, OutcomeError>

/// What an upstream worker has done since its start.
package struct UpstreamWorkFigures: Sendable, Equatable {
    package var sent = 0
    package var answered = 0
    /// Turned away by the upstream's limits; sent again later.
    package var limited = 0
    /// Failed for a reason worth another attempt.
    package var broken = 0
    /// Failed for good.
    package var refused = 0
    /// Sendings whose answer never came, or not whole, though the upstream may have computed it: each may be work done
    /// twice.
    package var cutOff = 0
    /// Requests leased after their worker had died with them: what it had sent may be done twice, too.
    package var inherited = 0
    package var usage = Usage()

    package init() {}
}
