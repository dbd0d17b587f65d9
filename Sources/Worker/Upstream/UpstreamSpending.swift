import JSON
import JobQueue
import Scheduler

/// What requests cost, set aside before they are sent: a cap is never passed.
package struct UpstreamSpending: Sendable {
    let book: SpendBook
    /// Asked anew each time: an operator may have changed them.
    let prices: @Sendable () -> PriceTable

    /// What a request is taken to generate at most that sets no limit itself.
    static let assumedCompletionTokens = 4096

    package init(book: SpendBook, prices: @escaping @Sendable () -> PriceTable) {
        self.book = book
        self.prices = prices
    }

    /// What a request can cost at most.
    func most(_ body: UpstreamBody, _ choice: UpstreamChoice, model: String) -> Spending {
        // A token is a byte at least.
        let prompt = body.bytes.count
        let completion = body.maxTokens ?? Self.assumedCompletionTokens
        return spending(
            Usage(promptTokens: prompt, completionTokens: completion), backend: choice.target.name, model: model)
    }

    private func spending(_ usage: Usage, backend: String, model: String) -> Spending {
        Spending(money: cost(usage, backend: backend, model: model) ?? .zero, tokens: usage.totalTokens)
    }

    /// Nil where nobody wrote a price down.
    private func cost(_ usage: Usage, backend: String, model: String) -> Money? {
        let most = Money(nanodollars: Int64(Outcome.maxCostNanodollars))
        return prices().price(backend: backend, model: model).map { price in
            let cost = price.cost(
                promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens,
                completionTokens: usage.completionTokens)
            return min(cost, most)
        }
    }

    /// The answer with its price, which clients find as `usage.cost_usd`; as it came where nobody wrote one down.
    func priced(_ answer: UpstreamAnswer, backend: String, model: String) -> UpstreamAnswer {
        guard let cost = cost(answer.usage, backend: backend, model: model) else { return answer }
        var answer = answer
        answer.usage.costNanodollars = Int(cost.nanodollars)
        guard var body = JSONMembers(answer.body), let text = body["usage"], var usage = JSONMembers(text) else {
            return answer
        }
        usage.set("cost_usd", .double(cost.dollars))
        body.set("usage", text: usage.text)
        answer.body = body.text
        return answer
    }
}

extension Spending {
    /// What an outcome's usage says.
    init(_ usage: Usage) {
        self.init(money: Money(nanodollars: Int64(usage.costNanodollars)), tokens: usage.totalTokens)
    }
}
