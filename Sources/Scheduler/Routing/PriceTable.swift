/// What a backend takes for a million tokens.
package struct Price: Hashable, Sendable {
    package var input: Money
    /// Prompt tokens from the provider's cache.
    package var cachedInput: Money
    package var output: Money

    package init(input: Money, cachedInput: Money? = nil, output: Money) {
        self.input = input
        self.cachedInput = cachedInput ?? input
        self.output = output
    }

    package func cost(promptTokens: Int, cachedTokens: Int, completionTokens: Int) -> Money {
        input.times(tokens: promptTokens - cachedTokens) + cachedInput.times(tokens: cachedTokens)
            + output.times(tokens: completionTokens)
    }
}

/// The prices an operator wrote down: the first entry that fits backend and model.
package struct PriceTable: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package var backend: String
        package var models: [NamePattern]
        package var price: Price

        package init(backend: String, models: [NamePattern], price: Price) {
            self.backend = backend
            self.models = models
            self.price = price
        }
    }

    package var entries: [Entry]

    package init(_ entries: [Entry] = []) { self.entries = entries }

    /// - Parameter model: as the backend names it.
    /// - Returns: nil when nobody wrote a price down: it costs nothing that we know of.
    package func price(backend: String, model: String) -> Price? {
        entries.first { $0.backend == backend && $0.models.contains { $0.matches(model) } }?.price
    }
}
