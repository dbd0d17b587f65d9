import Scheduler
import Testing

@Suite struct SpendingTests {
    @Test func moneyIsExact() {
        let price = Price(
            input: Money(nanodollars: 50_000_000), cachedInput: Money(nanodollars: 25_000_000),
            output: Money(nanodollars: 80_000_000))
        #expect(price.cost(promptTokens: 1, cachedTokens: 0, completionTokens: 0) == Money(nanodollars: 50))
        #expect(price.cost(promptTokens: 1000, cachedTokens: 400, completionTokens: 10).nanodollars
                == 30_000 + 10_000 + 800)
        #expect(Money(nanodollars: 37_500_000).times(tokens: 1) == Money(nanodollars: 38), "rounded up: never too little")
        #expect(Money(nanodollars: .max).times(tokens: .max) == Money(nanodollars: .max))
        #expect(Money(nanodollars: .max) + Money(nanodollars: 1) == Money(nanodollars: .max))
        #expect(Money(dollars: 0.1).map { $0 + $0 + $0 } == Money(dollars: 0.3))
        #expect(Money(dollars: .nan) == nil)
        #expect(Money(dollars: 1e10) == nil)
        #expect(Money(nanodollars: 1_250_000_000).description == "$1.25")
        #expect(Money(nanodollars: 34_000).description == "$0.000034")
        #expect(Money(nanodollars: -2_000_000_000).description == "-$2.00")
    }

    private func tokens(_ count: Int) -> Spending { Spending(money: Money(nanodollars: Int64(count)), tokens: count) }

    private func reserve(
        _ account: inout SpendAccount, _ amount: Spending, by sender: String, within cap: SpendCap, until: Int64,
        at now: Int64
    ) -> Bool { account.reserve(amount, by: sender, within: cap, until: until, at: now) }

    @Test func aCapIsTheMost() {
        var account = SpendAccount()
        let cap = SpendCap(tokens: 100)
        #expect(reserve(&account, tokens(60), by: "a", within: cap, until: 10, at: 0) == true)
        #expect(reserve(&account, tokens(41), by: "b", within: cap, until: 10, at: 0) == false)
        #expect(account.committed.tokens == 60)
        #expect(reserve(&account, tokens(40), by: "b", within: cap, until: 10, at: 0) == true)
        account.settle(tokens(60), by: "a", actual: tokens(20))
        #expect(reserve(&account, tokens(40), by: "a", within: cap, until: 10, at: 0) == true)
        #expect(reserve(&account, tokens(1), by: "a", within: cap, until: 10, at: 0) == false)
        let dollar = Spending(money: Money(nanodollars: 1))
        #expect(reserve(&account, dollar, by: "a", within: SpendCap(money: .zero), until: 10, at: 0) == false)
        account.cap = SpendCap(tokens: 101)
        #expect(reserve(&account, tokens(1), by: "a", within: cap, until: 10, at: 0) == true, "its own cap takes the place")
    }

    @Test func aDeadSendersReservationCountsAsSpent() {
        var account = SpendAccount()
        let cap = SpendCap(tokens: 100)
        #expect(reserve(&account, tokens(50), by: "dead", within: cap, until: 10, at: 0) == true)
        account.renew(by: "dead", until: 20)
        #expect(reserve(&account, tokens(60), by: "b", within: cap, until: 40, at: 15) == false)
        #expect(account.unproven.tokens == 0, "renewed: not lapsed")
        #expect(reserve(&account, tokens(60), by: "b", within: cap, until: 40, at: 20) == false, "it may have been charged")
        #expect(account.unproven.tokens == 50)
        account.settle(tokens(50), by: "dead", actual: tokens(30))
        #expect(account.unproven.tokens == 0)
        #expect(account.spent.tokens == 30)
        #expect(reserve(&account, tokens(70), by: "b", within: cap, until: 40, at: 20) == true)
    }

    /// Many senders, crashes, late settles: never more than the cap is spent, and the sums are right.
    @Test(arguments: 0..<20) func neverPassesTheCap(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let cap = SpendCap(tokens: 1000)
        var account = SpendAccount()
        var held: [(sender: String, most: Int)] = []
        var paid = 0
        var refused = 0
        for now in 0..<Int64(2000) {
            let sender = "s\(random.int(0...3))"
            if random.chance(500) {
                let most = random.int(1...20)
                if account.reserve(tokens(most), by: sender, within: cap, until: now + 50, at: now) {
                    held.append((sender, most))
                } else {
                    refused += 1
                }
            } else if !held.isEmpty, random.chance(600) {
                let ended = held.remove(at: random.int(0...(held.count - 1)))
                let actual = random.int(0...ended.most)
                paid += actual
                account.settle(tokens(ended.most), by: ended.sender, actual: tokens(actual))
            }
            let perhaps = held.reduce(0) { $0 + $1.most }
            #expect(paid + perhaps <= 1000)
            #expect(account.spent == tokens(paid))
            #expect(account.inReserve.tokens + account.unproven.tokens >= perhaps, "what can still be charged is counted")
        }
        #expect(refused > 0)
    }
}
