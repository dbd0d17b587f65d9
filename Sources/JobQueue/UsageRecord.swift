/// A day of UTC, counted from 1970-01-01.
package struct Day: Hashable, Comparable, Sendable {
    package var number: Int64

    package init(number: Int64) { self.number = number }

    package init(of time: Timestamp) {
        let dayMs: Int64 = 86_400_000
        let (quotient, remainder) = time.milliseconds.quotientAndRemainder(dividingBy: dayMs)
        number = remainder < 0 ? quotient - 1 : quotient
    }

    package static func < (a: Day, b: Day) -> Bool { a.number < b.number }
}

/// Which part of the usage ledger is wanted; nil: all.
package struct UsageQuery: Sendable, Equatable {
    package var tenant: String?
    package var model: String?
    package var first: Day?
    package var last: Day?

    package init(tenant: String? = nil, model: String? = nil, first: Day? = nil, last: Day? = nil) {
        self.tenant = tenant
        self.model = model
        self.first = first
        self.last = last
    }

    package func includes(_ record: UsageRecord) -> Bool {
        func same(_ wanted: String?, _ found: String) -> Bool {
            wanted.map { Array($0.utf8) == Array(found.utf8) } ?? true
        }
        return same(tenant, record.tenant) && same(model, record.model)
            && first.map { record.day >= $0 } ?? true && last.map { record.day <= $0 } ?? true
    }
}

/// What a tenant's requests for a model took on one day: sums over outcomes.
package struct UsageRecord: Sendable, Equatable {
    package var day: Day
    package var tenant: String
    package var model: String
    package var backend: String
    package var completed: Int
    /// Failed, cancelled and expired requests.
    package var unsuccessful: Int
    package var usage: Usage

    package init(
        day: Day, tenant: String, model: String, backend: String, completed: Int = 0, unsuccessful: Int = 0,
        usage: Usage = Usage()
    ) {
        self.day = day
        self.tenant = tenant
        self.model = model
        self.backend = backend
        self.completed = completed
        self.unsuccessful = unsuccessful
        self.usage = usage
    }
}

extension UsageRecord {
    /// The ledger's order: by day, then by the bytes of tenant, model and backend.
    package static func comesBefore(_ a: Self, _ b: Self) -> Bool {
        if a.day != b.day { return a.day < b.day }
        for part in [\Self.tenant, \.model, \.backend] {
            let (x, y) = (Array(a[keyPath: part].utf8), Array(b[keyPath: part].utf8))
            if x != y { return x.lexicographicallyPrecedes(y) }
        }
        return false
    }
}
