import JobQueue
import Scheduler

/// An upstream as requests are sent to it.
package struct UpstreamTarget: Sendable {
    /// What outcomes, logs and messages call it.
    package var name: String
    package var dialect: UpstreamDialect
    package var baseURL: String
    package var key: ProviderKey?
    /// The tenant whose own key that is; nil: the operator's.
    package var owner: String?
    /// What is known of its limits beforehand; its headers tell the rest.
    package var limits: RateLimits
    package var timeouts = UpstreamTimeouts()
    package var maxReplyBytes = 16 << 20
    /// For requests that name none.
    package var serviceTier: String?
    /// Send completions as chats; nil: where the dialect has no completions.
    package var mapsCompletions: Bool?
    /// How long a batch may take there, where requests go through its batch API.
    package var batchWindow = "24h"
    /// Leave batches' files there.
    package var keepsFiles = false

    package init(
        name: String, dialect: UpstreamDialect, baseURL: String, key: ProviderKey? = nil,
        limits: RateLimits? = nil
    ) {
        self.name = name
        self.dialect = dialect
        self.baseURL = baseURL
        self.key = key
        // OpenAI's headers count requests by the minute, Groq's by the day.
        self.limits = limits ?? RateLimits(requestHeaderSpan: dialect == .openai ? .minute : .day)
    }
}

extension UpstreamTarget {
    /// What is parked together: one key at one upstream.
    package struct ID: Hashable, Sendable, CustomStringConvertible {
        package var name: String
        package var owner: String?

        package init(name: String, owner: String? = nil) {
            self.name = name
            self.owner = owner
        }

        package var description: String { owner.map { "\(name) (with \($0)'s key)" } ?? name }
    }

    package var id: ID { ID(name: name, owner: owner) }
}

/// What an upstream worker has done since its start.
package struct UpstreamWorkFigures: Sendable, Equatable {
    /// Of the worker's loop: while it lives they grow.
    package var turns = 0
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
