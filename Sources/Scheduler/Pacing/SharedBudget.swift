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
/// second and not for every request. Where no limit of requests a minute is known, it learns one from what the senders
/// report of refusals, for all of them together.
package struct SharedBudget: Sendable, Equatable, Codable {
    package enum Answer: Sendable, Equatable {
        case granted(Grant)
        case notBefore(Int64)
    }

    /// Absent where there is no such limit.
    private var requestWindows: [RateWindow]
    private var tokenWindows: [RateWindow]
    /// Of requests a minute, where none is known.
    private var hidden: HiddenLimit?
    private var blockedUntil = Int64.min
    /// The last request that was granted.
    private var sequence: UInt64 = 0
    private var limits: RateLimits
    /// One grant is this part of a learned limit at most.
    private static let portions = 60
    /// With the pace of a bucket grants wait for this part of the limit, lest the store be asked for each request.
    private static let moments = 240

    package init(_ limits: RateLimits) {
        self.limits = limits
        func windows(_ minute: Int?, _ day: Int?) -> [RateWindow] {
            [(minute, RateSpan.minute), (day, .day)].compactMap { limit, span in
                limit.map { RateWindow(limit: $0, windowMs: span.milliseconds) }
            }
        }
        requestWindows = windows(limits.requestsPerMinute, limits.requestsPerDay)
        tokenWindows = windows(limits.tokensPerMinute, limits.tokensPerDay)
        hidden = limits.requestsPerMinute == nil ? HiddenLimit() : nil
    }

    /// Requests that a minute seems to allow, though nothing says so.
    package var hiddenRequestsPerMinute: Int? { hidden?.limit }

    /// Whether it was made for these limits; the operator may have changed them. (And whether it learns a limit where
    /// it should: records of versions that could not have none to learn.)
    package func isFor(_ limits: RateLimits) -> Bool {
        self.limits == limits && (hidden != nil) == (limits.requestsPerMinute == nil)
    }

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
        if var learned = hidden {
            if case .notBefore(let time) = learned.admit(at: now, atLeast: Self.moments) { wait = max(wait, time) }
            if let limit = learned.limit {
                granted.requests = min(granted.requests, max(least.requests, limit / Self.portions))
            }
            granted.requests = learned.room(granted.requests, at: now)
            if wait == .min { learned.send(sequence + UInt64(granted.requests), count: granted.requests, at: now) }
            hidden = learned
        }
        if wait > .min { return .notBefore(max(wait, now + 1)) }
        sequence += UInt64(granted.requests)
        for at in requestWindows.indices { requestWindows[at].send(granted.requests, sequence: sequence, at: now) }
        for at in tokenWindows.indices { tokenWindows[at].send(granted.tokens, sequence: sequence, at: now) }
        return .granted(Grant(granted, last: sequence))
    }

    /// What became of grants.
    package mutating func settle(_ report: Report, at now: Int64) {
        // Nothing carries this number: only the count changes.
        func settle(_ windows: inout [RateWindow], _ part: KeyPath<Allotment, Int>) {
            for at in windows.indices {
                let unused = report.unused[keyPath: part]
                windows[at].correct(.max, from: unused, to: 0, sentAt: report.takenAt, at: now)
                for move in report.moves {
                    let sent = move.sent[keyPath: part]
                    windows[at].correct(
                        .max, from: sent, to: sent, sentAt: move.takenAt, countedAt: move.countedAt, at: now)
                }
            }
        }
        settle(&requestWindows, \.requests)
        settle(&tokenWindows, \.tokens)
        hidden?.giveBack(report.unused.requests, takenAt: report.takenAt, at: now)
        for move in report.moves {
            hidden?.move(move.sent.requests, from: move.takenAt, to: move.countedAt, at: now)
        }
    }

    /// A sender's request was turned away for the limits.
    package mutating func refuse(_ refusal: Refusal, at now: Int64) {
        if let ms = refusal.retryAfterMs { blockedUntil = max(blockedUntil, refusal.at.advanced(byMs: max(1, ms))) }
        // Granted by a record that this one took the place of: its numbers are others.
        guard refusal.sequence <= sequence else { return }
        hidden?.refuse(
            refusal.sequence, sentAt: refusal.sentAt,
            retryAfterMs: refusal.isExplained ? nil : refusal.retryAfterMs, at: max(refusal.at, refusal.sentAt))
    }
}

extension SharedBudget {
    package struct Grant: Sendable, Equatable {
        package var amount: Allotment
        /// The number of the last request in it; the others have those before.
        package var last: UInt64

        package init(_ amount: Allotment, last: UInt64) {
            self.amount = amount
            self.last = last
        }
    }

    /// Requests that were granted at a time and counted by the server at another.
    package struct Move: Sendable, Equatable {
        package var sent: Allotment
        package var takenAt: Int64
        package var countedAt: Int64

        package init(_ sent: Allotment, takenAt: Int64, countedAt: Int64) {
            self.sent = sent
            self.takenAt = takenAt
            self.countedAt = countedAt
        }
    }

    package struct Report: Sendable, Equatable {
        /// Of a grant of `takenAt`.
        package var unused: Allotment
        package var takenAt: Int64
        package var moves: [Move]

        package init(unused: Allotment, takenAt: Int64, moves: [Move] = []) {
            self.unused = unused
            self.takenAt = takenAt
            self.moves = moves
        }

        package var isEmpty: Bool { unused == Allotment() && moves.isEmpty }
    }

    package struct Refusal: Sendable, Equatable {
        /// The request's number.
        package var sequence: UInt64
        package var sentAt: Int64
        package var at: Int64
        package var retryAfterMs: Int64?
        /// A limit that is known is why.
        package var isExplained: Bool

        package init(sequence: UInt64, sentAt: Int64, at: Int64, retryAfterMs: Int64?, isExplained: Bool) {
            self.sequence = sequence
            self.sentAt = sentAt
            self.at = at
            self.retryAfterMs = retryAfterMs
            self.isExplained = isExplained
        }
    }
}
