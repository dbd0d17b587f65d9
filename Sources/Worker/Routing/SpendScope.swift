import JobQueue
import Scheduler

/// What a cap is on: a batch, or a tenant for some time.
package struct SpendScope: Hashable, Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case batch
        /// UTC days and months.
        case tenantDay = "tenant-day"
        case tenantMonth = "tenant-month"
        case tenant

        package static let names = allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
    }

    package var kind: Kind
    /// Names its record.
    package var name: String
    /// For messages.
    package var title: String

    package static func of(_ kind: Kind, batch: BatchID, tenant: String, at now: Timestamp) -> SpendScope {
        // A tenant's name stands last, so that nothing in it can be taken for something else.
        switch kind {
        case .batch: SpendScope(kind: kind, name: "spend/batch/\(batch)", title: "batch \(batch)")
        case .tenant: SpendScope(kind: kind, name: "spend/tenant/all/\(tenant)", title: "tenant \(tenant)")
        case .tenantDay:
            SpendScope(
                kind: kind, name: "spend/tenant/day-\(Day(of: now).number)/\(tenant)", title: "tenant \(tenant) today")
        case .tenantMonth:
            SpendScope(
                kind: kind, name: "spend/tenant/month-\(Self.month(now))/\(tenant)",
                title: "tenant \(tenant) this month")
        }
    }

    /// `2026-11`, of UTC: civil from days (https://howardhinnant.github.io/date_algorithms.html).
    package static func month(_ time: Timestamp) -> String {
        let days = Day(of: time).number + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(year)-\(month < 10 ? "0" : "")\(month)"
    }
}
