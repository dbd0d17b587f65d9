import Foundation
import JobQueue
import Scheduler

/// What batches and tenants have spent, kept beside the queue: every sender reserves here before it sends, so that a
/// cap holds for all of them together.
package struct SpendBook: Sendable {
    /// Requests that have ended, whose costs are counted in the same accounts.
    package struct Part: Sendable, Hashable {
        package var accounts: [String]
        /// What was set aside in each of them for all of the requests.
        package var reserved: Spending
        package var actual: Spending

        package init(accounts: [String], reserved: Spending, actual: Spending) {
            self.accounts = accounts
            self.reserved = reserved
            self.actual = actual
        }
    }

    /// One request that is to be sent.
    package struct Claim: Sendable, Hashable {
        package var batch: BatchID
        package var tenant: String
        /// What it can cost at most.
        package var most: Spending

        package init(batch: BatchID, tenant: String, most: Spending) {
            self.batch = batch
            self.tenant = tenant
            self.most = most
        }
    }

    /// A claim that was granted: hand it back with what the request did cost.
    package struct Grant: Sendable, Hashable {
        package var claim: Claim
        /// Records that hold the reservation.
        package var records: [String]
    }

    package enum Verdict: Sendable, Equatable {
        case granted(Grant)
        /// Which cap is in the way; says what to do.
        case refused(CapReached)
    }

    package struct CapReached: Error, Sendable, Equatable, CustomStringConvertible {
        package var scope: SpendScope.Kind
        package var description: String
        /// It would fit if what is on its way cost nothing: it may fit when that has ended.
        package var mayFitLater = false
    }

    private let records: any RecordStore
    private let sender: String
    private let caps: @Sendable (String) -> [SpendScope.Kind: SpendCap]

    /// - Parameters:
    ///   - sender: names this process among all, as its worker's name does.
    ///   - caps: of a tenant, as configured.
    package init(
        _ records: any RecordStore, sender: String, caps: @escaping @Sendable (String) -> [SpendScope.Kind: SpendCap]
    ) {
        self.records = records
        self.sender = sender
        self.caps = caps
    }

    /// Sets aside what each claim can cost at most, or says which cap forbids it; in order, each on its own.
    /// - Parameter durationMs: how long the reservation lasts without `renew`; as long as the leases.
    package func reserve(
        _ claims: [Claim], durationMs: Int64, at now: Timestamp
    ) async throws(JobQueueError) -> [Verdict] {
        if claims.isEmpty { return [] }
        let until = (now + durationMs).milliseconds
        let scopes = claims.map { self.scopes(of: $0, at: now) }
        let names = Array(Set(scopes.flatMap { $0.map(\.scope.name) })).sorted()
        let sender = sender
        return try await records.change(names) { values throws(JobQueueError) in
            var accounts = try Accounts(names, values)
            let verdicts = zip(claims, scopes).map {
                accounts.reserve($0, $1, by: sender, until: until, at: now.milliseconds)
            }
            values = accounts.values
            return verdicts
        }
    }

    // MARK: What outlives a process

    /// Sets aside as above, but under a name of its own, for what others may go on with after this process; and writes
    /// down in the same step what that is.
    /// - Parameters:
    ///   - record: where it is written.
    ///   - value: what is written, by what was granted; nil: nothing.
    package func reserve(
        _ claims: [Claim], for holder: String, durationMs: Int64, at now: Timestamp, with record: String,
        _ value: @Sendable ([Verdict]) -> [UInt8]?
    ) async throws(JobQueueError) -> [Verdict] {
        let until = (now + durationMs).milliseconds
        let scopes = claims.map { self.scopes(of: $0, at: now) }
        let names = Array(Set(scopes.flatMap { $0.map(\.scope.name) })).sorted()
        return try await records.change(names + [record]) { values throws(JobQueueError) in
            var accounts = try Accounts(names, values.dropLast())
            let verdicts = zip(claims, scopes).map {
                accounts.reserve($0, $1, by: holder, until: until, at: now.milliseconds)
            }
            values = accounts.values + [value(verdicts)]
            return verdicts
        }
    }

    /// What the requests took takes the place of what was set aside, in the same step as a record beside it changes.
    /// - Parameter change: of the record; false: nothing is changed at all.
    /// - Returns: what `change` did.
    package func settle(
        _ parts: [Part], for holder: String, at now: Timestamp, with record: String,
        _ change: @Sendable (inout [UInt8]?) -> Bool
    ) async throws(JobQueueError) -> Bool {
        let names = Array(Set(parts.flatMap(\.accounts))).sorted()
        return try await records.change(names + [record]) { values throws(JobQueueError) in
            var value = values[names.count]
            guard change(&value) else { return false }
            var accounts = try Accounts(names, values.dropLast())
            for part in parts {
                for name in part.accounts {
                    accounts.change(name) { $0.settle(part.reserved, by: holder, actual: part.actual) }
                }
            }
            values = accounts.values + [value]
            return true
        }
    }

    package func renew(
        _ accounts: [String], for holder: String, durationMs: Int64, at now: Timestamp
    ) async throws(JobQueueError) {
        if accounts.isEmpty { return }
        let names = accounts.sorted()
        try await records.change(names) { values throws(JobQueueError) in
            var accounts = try Accounts(names, values)
            for name in names {
                accounts.change(name) { $0.renew(by: holder, until: (now + durationMs).milliseconds) }
            }
            values = accounts.values
        }
    }

    // MARK: Ending

    /// The requests ended: what they took takes the reservations' places.
    package func settle(_ ended: [(grant: Grant, actual: Spending)], at now: Timestamp) async throws(JobQueueError) {
        if ended.isEmpty { return }
        let names = Array(Set(ended.flatMap(\.grant.records))).sorted()
        let sender = sender
        let entries = ended.map { ($0.grant, $0.actual) }
        try await records.change(names) { values throws(JobQueueError) in
            var accounts = try Accounts(names, values)
            for (grant, actual) in entries {
                for name in grant.records {
                    accounts.change(name) { $0.settle(grant.claim.most, by: sender, actual: actual) }
                }
            }
            values = accounts.values
        }
    }

    /// Together with the leases.
    package func renew(_ grants: [Grant], durationMs: Int64, at now: Timestamp) async throws(JobQueueError) {
        if grants.isEmpty { return }
        try await renew(Array(Set(grants.flatMap(\.records))), for: sender, durationMs: durationMs, at: now)
    }

    /// What is spent and reserved now.
    package func account(
        _ kind: SpendScope.Kind, batch: BatchID = BatchID(""), tenant: String, at now: Timestamp
    ) async throws(JobQueueError) -> SpendAccount {
        let name = SpendScope.of(kind, batch: batch, tenant: tenant, at: now).name
        var accounts = try Accounts([name], try await records.records([name]).map { $0?.value })
        return accounts.change(name) {
            $0.lapse(at: now.milliseconds)
            return $0
        }
    }

    /// Sets a batch's own cap (nil: the configured one counts again).
    package func setCap(_ cap: SpendCap?, of batch: BatchID, at now: Timestamp) async throws(JobQueueError) {
        let name = SpendScope.of(.batch, batch: batch, tenant: "", at: now).name
        try await records.change([name]) { values throws(JobQueueError) in
            var accounts = try Accounts([name], values)
            accounts.change(name) { $0.cap = cap }
            values = accounts.values
        }
    }

    /// A batch's account is kept even without a cap, so that a cap set later counts all of it.
    private func scopes(of claim: Claim, at now: Timestamp) -> [(scope: SpendScope, cap: SpendCap)] {
        let caps = caps(claim.tenant)
        return SpendScope.Kind.allCases.compactMap { kind in
            guard let cap = caps[kind] ?? (kind == .batch ? SpendCap() : nil) else { return nil }
            return (SpendScope.of(kind, batch: claim.batch, tenant: claim.tenant, at: now), cap)
        }
    }
}

/// Accounts while they are changed, by record.
private struct Accounts {
    private let names: [String]
    private var accounts: [String: SpendAccount] = [:]

    init(_ names: [String], _ values: some Sequence<[UInt8]?>) throws(JobQueueError) {
        self.names = names
        for (name, value) in zip(names, values) {
            guard let value else { continue }
            guard let account = try? JSONDecoder().decode(SpendAccount.self, from: Data(value)) else {
                throw .unusableStore("record \(name) is damaged: restore the store from a copy, or remove the record")
            }
            accounts[name] = account
        }
    }

    @discardableResult
    mutating func change<T>(_ name: String, _ body: (inout SpendAccount) -> T) -> T {
        body(&accounts[name, default: SpendAccount()])
    }

    /// One claim: in all of its scopes, or in none.
    mutating func reserve(
        _ claim: SpendBook.Claim, _ scopes: [(scope: SpendScope, cap: SpendCap)], by holder: String, until: Int64,
        at now: Int64
    ) -> SpendBook.Verdict {
        var held: [String] = []
        for (scope, cap) in scopes {
            let granted = change(scope.name) {
                $0.reserve(claim.most, by: holder, within: cap, until: until, at: now)
            }
            if granted {
                held.append(scope.name)
                continue
            }
            for name in held { change(name) { $0.settle(claim.most, by: holder, actual: Spending()) } }
            return .refused(refusal(scope, cap, claim.most))
        }
        return .granted(SpendBook.Grant(claim: claim, records: held))
    }

    private func refusal(_ scope: SpendScope, _ configured: SpendCap, _ wanted: Spending) -> SpendBook.CapReached {
        let account = accounts[scope.name] ?? SpendAccount()
        let cap = account.cap ?? configured
        let advice =
            scope.kind == .batch
            ? "raise it with 'millrace caps set', which lets the batch go on"
            : "raise it in the routes file, then let the batch go on with 'millrace caps resume'"
        let reserved = account.inReserve
        return SpendBook.CapReached(
            scope: scope.kind,
            description: "the cap of \(cap.text) for \(scope.title) is reached: "
                + "\(account.spent.money) and \(account.spent.tokens) tokens spent, "
                + "\(account.unproven.money) and \(account.unproven.tokens) tokens perhaps, "
                + "\(reserved.money) and \(reserved.tokens) tokens on their way, "
                + "and the next request can take \(wanted.money) and \(wanted.tokens) tokens; \(advice)",
            mayFitLater: account.fits(wanted, within: cap))
    }

    var values: [[UInt8]?] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return names.map { name in
            guard let account = accounts[name], account != SpendAccount() else { return nil }
            // Numbers and names alone: always encodable.
            return (try? encoder.encode(account)).map { [UInt8]($0) }
        }
    }
}
