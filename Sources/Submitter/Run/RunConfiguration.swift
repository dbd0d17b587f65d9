import JobQueue

/// What a run is to do.
package struct RunConfiguration: Sendable {
    /// A file, or `-` for standard input.
    package var input: String
    /// Nil: known by the input's name.
    package var format: BatchFormat?
    package var places: ResultPlaces
    /// Nil: beside the output; a temporary one where that is standard output or a device.
    package var stateFolder: String?
    package var order: ResultOrder
    /// Forget what was done and start over.
    package var restarts: Bool
    package var defaults: RequestDefaults
    package var model: ModelIdentity
    package var lineBytesMax: Int
    /// How often a request may be begun. High, because killing and resuming a run must never fail what ran
    /// then; a bound all the same, because a request that crashes the process must not do so for ever.
    package var maxAttempts: Int

    package init(
        input: String, format: BatchFormat? = nil, places: ResultPlaces, stateFolder: String? = nil,
        order: ResultOrder = .completion, restarts: Bool = false,
        defaults: RequestDefaults = RequestDefaults(), model: ModelIdentity,
        lineBytesMax: Int = BatchFile.lineBytesMax, maxAttempts: Int = 100
    ) {
        self.input = input
        self.format = format
        self.places = places
        self.stateFolder = stateFolder
        self.order = order
        self.restarts = restarts
        self.defaults = defaults
        self.model = model
        self.lineBytesMax = lineBytesMax
        self.maxAttempts = maxAttempts
    }
}
