/// Requests and tokens that may be sent.
package struct Allotment: Hashable, Sendable, Codable {
    package var requests: Int
    package var tokens: Int

    package init(requests: Int = 0, tokens: Int = 0) {
        self.requests = requests
        self.tokens = tokens
    }
}

/// One organisation's limits, shared out among senders: what all of them were given in a minute or a day is never more
/// than the limit. A value that a store keeps; senders take from it in portions, so that it is asked a few times a
/// second and not for every request.
package struct SharedBudget: Sendable, Equatable, Codable {
    package enum Answer: Sendable, Equatable {
        case granted(Allotment)
        case notBefore(Int64)
    }

    /// Absent where there is no such limit.
    private var requestWindows: [RateWindow]
    private var tokenWindows: [RateWindow]
    private var blockedUntil = Int64.min
    private var sequence: UInt64 = 0
    private var limits: RateLimits

    package init(_ limits: RateLimits) {
        self.limits = limits
        func windows(_ minute: Int?, _ day: Int?) -> [RateWindow] {
            [(minute, RateSpan.minute), (day, .day)].compactMap { limit, span in
                limit.map { RateWindow(limit: $0, windowMs: span.milliseconds) }
            }
        }
        requestWindows = windows(limits.requestsPerMinute, limits.requestsPerDay)
        tokenWindows = windows(limits.tokensPerMinute, limits.tokensPerDay)
    }

    /// Whether it was made for these limits; the operator may have changed them.
    package func isFor(_ limits: RateLimits) -> Bool { self.limits == limits }

    /// - Parameters:
    ///   - least: what the sender's next request needs.
    ///   - wanted: what it could use soon.
    package mutating func take(_ wanted: Allotment, least: Allotment, at now: Int64) -> Answer {
        if now < blockedUntil { return .notBefore(blockedUntil) }
        var granted = wanted
        var wait = Int64.min
        func look(_ windows: inout [RateWindow], _ least: Int, _ wanted: inout Int) {
            for at in windows.indices {
                let needed = min(least, windows[at].limit ?? least)
                let free = max(0, windows[at].available(at: now))
                if free < Double(needed) {
                    guard case .notBefore(let time) = windows[at].admit(least, at: now) else { continue }
                    wait = max(wait, time)
                } else {
                    // A request larger than the limit goes when all is free.
                    wanted = min(wanted, max(Int(min(free, 1e15)), least))
                }
            }
        }
        look(&requestWindows, least.requests, &granted.requests)
        look(&tokenWindows, least.tokens, &granted.tokens)
        if wait > .min { return .notBefore(max(wait, now + 1)) }
        sequence += 1
        for at in requestWindows.indices { requestWindows[at].send(granted.requests, sequence: sequence, at: now) }
        for at in tokenWindows.indices { tokenWindows[at].send(granted.tokens, sequence: sequence, at: now) }
        return .granted(granted)
    }

    /// What was taken at `takenAt` and not sent.
    package mutating func give(_ unused: Allotment, takenAt: Int64, at now: Int64) {
        // Nothing carries this number: only the count changes.
        for at in requestWindows.indices {
            requestWindows[at].correct(.max, from: unused.requests, to: 0, sentAt: takenAt, at: now)
        }
        for at in tokenWindows.indices {
            tokenWindows[at].correct(.max, from: unused.tokens, to: 0, sentAt: takenAt, at: now)
        }
    }

    /// The server told one of the senders to wait; so shall all.
    package mutating func block(until time: Int64) { blockedUntil = max(blockedUntil, time) }
}
