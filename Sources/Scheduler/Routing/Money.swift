/// US dollars, exactly: counted in billionths, so that the cheapest token is a whole number. Up to 9 billion dollars;
/// sums stop there.
package struct Money: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
    package var nanodollars: Int64

    package init(nanodollars: Int64) { self.nanodollars = nanodollars }

    /// Rounded to the nearest billionth; nil when it is not a number or out of range.
    package init?(dollars: Double) {
        let scaled = (dollars * 1e9).rounded()
        guard scaled.isFinite, abs(scaled) < 9e18 else { return nil }
        nanodollars = Int64(scaled)
    }

    package static let zero = Money(nanodollars: 0)

    package static func < (a: Money, b: Money) -> Bool { a.nanodollars < b.nanodollars }

    package static func + (a: Money, b: Money) -> Money {
        let (sum, overflow) = a.nanodollars.addingReportingOverflow(b.nanodollars)
        return Money(nanodollars: overflow ? (b.nanodollars > 0 ? .max : .min) : sum)
    }

    package static func - (a: Money, b: Money) -> Money {
        let (difference, overflow) = a.nanodollars.subtractingReportingOverflow(b.nanodollars)
        return Money(nanodollars: overflow ? (b.nanodollars > 0 ? .min : .max) : difference)
    }

    /// What `tokens` cost at this price for a million; rounded up.
    package func times(tokens: Int, perTokens unit: Int64 = 1_000_000) -> Money {
        guard tokens > 0, nanodollars > 0 else { return .zero }
        let product = nanodollars.multipliedFullWidth(by: Int64(tokens))
        guard product.high < unit / 2 else { return Money(nanodollars: .max) }
        let (quotient, remainder) = unit.dividingFullWidth(product)
        return Money(nanodollars: quotient) + Money(nanodollars: remainder > 0 ? 1 : 0)
    }

    package var dollars: Double { Double(nanodollars) / 1e9 }

    /// `$1.25`, `$0.000034`: cents at least, and as many digits as say it exactly.
    package var description: String {
        let magnitude = nanodollars.magnitude
        var fraction = String(magnitude % 1_000_000_000)
        fraction = String(repeating: "0", count: 9 - fraction.count) + fraction
        while fraction.count > 2, fraction.last == "0" { fraction.removeLast() }
        return (nanodollars < 0 ? "-$" : "$") + String(magnitude / 1_000_000_000) + "." + fraction
    }
}

/// What money and tokens requests take together.
package struct Spending: Hashable, Sendable, Codable {
    package var money: Money
    package var tokens: Int

    package init(money: Money = .zero, tokens: Int = 0) {
        self.money = money
        self.tokens = tokens
    }

    package static func + (a: Spending, b: Spending) -> Spending {
        let (sum, overflow) = a.tokens.addingReportingOverflow(b.tokens)
        return Spending(money: a.money + b.money, tokens: overflow ? .max : sum)
    }

    package static func += (a: inout Spending, b: Spending) { a = a + b }

    /// Never below zero.
    package func less(_ other: Spending) -> Spending {
        Spending(money: max(.zero, money - other.money), tokens: max(0, tokens - other.tokens))
    }
}
