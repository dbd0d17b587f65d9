/// The most that may be spent; nil: no limit.
package struct SpendCap: Hashable, Sendable, Codable {
    package var money: Money?
    package var tokens: Int?

    package init(money: Money? = nil, tokens: Int? = nil) {
        self.money = money
        self.tokens = tokens
    }

    package var isOpen: Bool { money == nil && tokens == nil }

    /// For messages: `$5.00 and 1000 tokens`.
    package var text: String {
        [money.map(\.description), tokens.map { "\($0) tokens" }].compactMap(\.self).joined(separator: " and ")
    }
}

/// What one tenant or one batch has spent, and what is set aside for requests that are on their way. Nothing is sent
/// that was not reserved, so a cap is never passed, by however many senders: what a request can cost at most is
/// reserved, and what it did cost takes the reservation's place.
///
/// A sender that dies leaves its reservation, which lapses: whatever it had on its way may have been charged, so it
/// counts as spent without proof, until (if ever) its outcome is settled after all.
package struct SpendAccount: Hashable, Sendable, Codable {
    package struct Reservation: Hashable, Sendable, Codable {
        package var amount: Spending
        package var expiresAt: Int64
    }

    package private(set) var spent = Spending()
    /// Reserved by senders that are gone.
    package private(set) var unproven = Spending()
    /// By sender.
    package private(set) var reserved: [String: Reservation] = [:]
    /// Takes the place of the configuration's cap.
    package var cap: SpendCap?

    package init() {}

    package var inReserve: Spending { reserved.values.reduce(Spending()) { $0 + $1.amount } }
    /// What counts against the cap.
    package var committed: Spending { spent + unproven + inReserve }

    /// Sets `amount` aside.
    /// - Returns: false when the cap does not allow it; nothing has changed then.
    package mutating func reserve(
        _ amount: Spending, by sender: String, within configured: SpendCap, until expiresAt: Int64, at now: Int64
    ) -> Bool {
        lapse(at: now)
        let total = committed + amount
        let cap = cap ?? configured
        if let most = cap.money, total.money > most { return false }
        if let most = cap.tokens, total.tokens > most { return false }
        var own = reserved[sender] ?? Reservation(amount: Spending(), expiresAt: expiresAt)
        own.amount += amount
        own.expiresAt = max(own.expiresAt, expiresAt)
        reserved[sender] = own
        return true
    }

    /// Whether it would fit if nothing were set aside.
    package func fits(_ amount: Spending, within cap: SpendCap) -> Bool {
        let total = spent + unproven + amount
        return cap.money.map { total.money <= $0 } ?? true && cap.tokens.map { total.tokens <= $0 } ?? true
    }

    /// A request that `amount` was reserved for took `actual`; zero when it was not sent or cost nothing.
    package mutating func settle(_ amount: Spending, by sender: String, actual: Spending) {
        spent += actual
        guard var own = reserved[sender] else {
            // Lapsed before: now there is proof.
            unproven = unproven.less(amount)
            return
        }
        own.amount = own.amount.less(amount)
        reserved[sender] = own.amount == Spending() ? nil : own
    }

    /// The sender lives: its reservations last longer.
    package mutating func renew(by sender: String, until expiresAt: Int64) {
        guard let own = reserved[sender] else { return }
        reserved[sender]?.expiresAt = max(own.expiresAt, expiresAt)
    }

    package mutating func lapse(at now: Int64) {
        for (sender, own) in reserved where own.expiresAt <= now {
            unproven += own.amount
            reserved[sender] = nil
        }
    }
}
