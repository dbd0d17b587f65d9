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

    func spending(_ usage: Usage, backend: String, model: String) -> Spending {
        let price = prices().price(backend: backend, model: model)
        let money = price?.cost(
            promptTokens: usage.promptTokens, cachedTokens: usage.cachedTokens,
            completionTokens: usage.completionTokens)
        return Spending(money: money ?? .zero, tokens: usage.totalTokens)
    }

    /// The answer with its price in `usage.cost_usd`; as it came where nobody wrote a price down.
    func priced(_ answer: UpstreamAnswer, backend: String, model: String) -> [UInt8] {
        guard let price = prices().price(backend: backend, model: model), var body = JSONMembers(answer.body),
            let usageText = body["usage"], var usage = JSONMembers(usageText)
        else { return answer.body }
        let cost = price.cost(
            promptTokens: answer.usage.promptTokens, cachedTokens: answer.usage.cachedTokens,
            completionTokens: answer.usage.completionTokens)
        usage.set("cost_usd", .double(cost.dollars))
        body.set("usage", text: usage.text)
        return body.text
    }
}
