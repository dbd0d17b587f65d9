/// Which requests go to which backends, as an operator wrote it.
package struct Route: Sendable, Equatable {
    package struct Target: Sendable, Equatable {
        package var backend: String
        /// Share of the requests, relative to the others'.
        package var weight: Int
        /// What the backend calls the model; nil: what the request does.
        package var model: String?

        package init(backend: String, weight: Int = 1, model: String? = nil) {
            self.backend = backend
            self.weight = weight
            self.model = model
        }
    }

    /// For messages: the place in the file.
    package var name: String
    package var models: [NamePattern]
    package var tenants: [NamePattern]
    /// One of them by weight.
    package var targets: [Target]
    /// In order, when none of the targets can take it.
    package var fallbacks: [Target]
    package var spill: SpillRule?

    package init(
        name: String, models: [NamePattern], tenants: [NamePattern] = [NamePattern("*")], targets: [Target],
        fallbacks: [Target] = [], spill: SpillRule? = nil
    ) {
        self.name = name
        self.models = models
        self.tenants = tenants
        self.targets = targets
        self.fallbacks = fallbacks
        self.spill = spill
    }

    package func suits(model: String, tenant: String) -> Bool {
        models.contains { $0.matches(model) } && tenants.contains { $0.matches(tenant) }
    }
}

/// When requests that belong to a local worker go to an upstream.
package struct SpillRule: Sendable, Equatable {
    package var to: Route.Target
    /// When the batch would not end in time otherwise.
    package var whenDeadlineAtRisk: Bool
    /// When more tokens than this wait for the local workers.
    package var whenBacklogTokens: Int?
    /// Only while at least this part of the upstream's day budget is left.
    package var budgetLeft: Double
    /// How much faster than needed it should be done; 1.2: a fifth.
    package var safety: Double

    package init(
        to: Route.Target, whenDeadlineAtRisk: Bool = true, whenBacklogTokens: Int? = nil, budgetLeft: Double = 0,
        safety: Double = 1.2
    ) {
        self.to = to
        self.whenDeadlineAtRisk = whenDeadlineAtRisk
        self.whenBacklogTokens = whenBacklogTokens
        self.budgetLeft = budgetLeft
        self.safety = safety
    }
}
