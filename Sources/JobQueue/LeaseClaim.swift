/// What a worker has room for.
package struct LeaseClaim: Sendable, Equatable {
    /// Name of the worker, for `workers` and for whoever looks at what is leased.
    package var worker: String
    package var maxRequests: Int
    /// Sum of `Request.cost` over what is leased: leasing stops before the request that would exceed it, unless that
    /// is the first one. nil: no limit.
    package var maxTokens: Int?
    /// Models that the worker serves, compared with `Request.model` by bytes; nil: any. A request that names no
    /// model ("") suits every worker.
    package var models: [String]?
    /// Only requests of these batches; nil: of any.
    package var batches: [BatchID]?
    /// How long the leases last without renewal.
    package var durationMs: Int64
    package var suspects: Suspects

    /// What is leased of suspects (I7): requests that `suspectCrashes` workers crashed with. They are counted as
    /// crashed with whatever else their worker held, so they are tried by one that holds nothing else.
    package enum Suspects: String, Sendable {
        /// Like any other request: for workers that requests cannot crash.
        case mixed
        case none
        /// One suspect and nothing else, whatever `maxRequests` is beyond that. Only for a worker that holds nothing.
        case one
    }

    /// A request that was leased in so many crashes (`LeasedRequest.crashes`) is a suspect.
    package static let suspectCrashes = 2

    package init(
        worker: String, maxRequests: Int, maxTokens: Int? = nil, models: [String]? = nil,
        batches: [BatchID]? = nil, durationMs: Int64, suspects: Suspects = .mixed
    ) {
        self.worker = worker
        self.maxRequests = maxRequests
        self.maxTokens = maxTokens
        self.models = models
        self.batches = batches
        self.durationMs = durationMs
        self.suspects = suspects
    }
}
