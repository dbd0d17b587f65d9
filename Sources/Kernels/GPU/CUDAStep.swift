/// How a step's operations are carried out.
struct CUDAStep {
    enum Mode {
        /// Asked of the device one by one.
        case eager
        /// Recorded into a graph.
        case recording
        /// A graph stands in for them.
        case replaying
    }

    var mode = Mode.eager
    /// Rows that kernels run over; from the batch's row count on they are padding.
    var rows = 0
    /// Sequences that kernels run over.
    var sequences = 0
    /// Rows of matrix products: fewer different shapes, for which products are planned once.
    var productRows = 0
    /// Power of two that covers the splits of the batch's longest sequence; attention may use fewer.
    var splits = 1
    /// Tiles of prefill attention, once they are listed.
    var tileCount: Int?
    /// Each sequence brings one row.
    var isDecode = false

    /// A power of two that covers the splits of a sequence of `positions`.
    static func splits(positions: Int) -> Int {
        let needed = (positions + CUDALaunchAttention.splitKeys - 1) / CUDALaunchAttention.splitKeys
        var splits = 1
        while splits < needed { splits *= 2 }
        return splits
    }

    /// Row counts that decode steps are padded to, so that few graphs serve all.
    static func bucket(_ rows: Int) -> Int {
        switch rows {
        case ...1: 1
        case ...2: 2
        case ...4: 4
        case ...32: (rows + 7) / 8 * 8
        case ...256: (rows + 15) / 16 * 16
        default: padded(rows)
        }
    }

    /// Fewer rows cost as much, and each shape is tuned for by itself. Activations have room for as many.
    static let leastProductRows = 16

    /// Row counts that other steps' products are padded to.
    static func padded(_ rows: Int) -> Int {
        switch rows {
        case ...leastProductRows: leastProductRows
        case ...256: (rows + 15) / 16 * 16
        case ...1024: (rows + 63) / 64 * 64
        default: (rows + 127) / 128 * 128
        }
    }
}

/// Graphs of decode steps. A step's first run of a kind is eager, so that everything it needs exists; its second is
/// recorded; from then on the graph is replayed.
struct CUDAStepGraphs {
    struct Kind: Hashable {
        var rows: Int
        var splits: Int
        /// Of the batch's arrays: graphs name their addresses.
        var generation: Int
    }

    enum State {
        case seen
        case recorded(CUDAGraph)
    }

    var isEnabled = true
    private var states: [Kind: State] = [:]
    private(set) var current: Kind?

    /// How the step of this kind is run.
    mutating func begin(_ kind: Kind) -> CUDAStep.Mode {
        guard isEnabled else { return .eager }
        current = kind
        switch states[kind] {
        case nil:
            states[kind] = .seen
            return .eager
        case .seen: return .recording
        case .recorded: return .replaying
        }
    }

    mutating func beginUngraphed() { current = nil }

    mutating func store(_ graph: CUDAGraph) {
        if let current { states[current] = .recorded(graph) }
    }

    var graph: CUDAGraph? {
        guard let current, case .recorded(let graph) = states[current] else { return nil }
        return graph
    }

    /// Buffers moved: what was recorded names places that are gone.
    mutating func forgetAll() { states.removeAll() }
}
