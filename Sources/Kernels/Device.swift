/// Where a model's arithmetic happens: the seam between architectures (Models) and kernels (here).
///
/// A device owns its memory; callers hold opaque handles. Activations are float32 rows `[rows, width]`; what a
/// matrix multiplication rounds its inputs to is the device's choice, made once for a run by `ComputeType`.
///
/// **Rows never influence each other.** The result of a row depends on that row, the weights and its own sequence's KV
/// cache alone, bit for bit: not on the number of rows in the step, their order, chunking, or the number of threads.
///
/// A device and everything it made belong to one thread at a time (the engine's); it may use threads of its own.
/// Misuse (wrong widths, foreign handles) traps; running out of memory or losing the device throws.
package protocol Device: AnyObject {
    /// A linear layer's weights `[outputs, inputs]`, repacked for the kernels that read them.
    associatedtype Matrix
    /// Float32 parameters: norm weights, biases.
    associatedtype Vector
    /// Rows that are looked up by token id or position, in checkpoint form.
    associatedtype Table
    /// A float32 buffer `[maxRows, width]`.
    associatedtype Activation
    /// cos/sin of every position for one RoPE variant.
    associatedtype Rotation
    /// Paged keys and values of all layers.
    associatedtype Cache

    /// One line for logs and `inspect`: "cpu avx512_bf16, 2 threads, bfloat16".
    var description: String { get }
    var computeType: ComputeType { get }
    /// Memory of its own that the device could still give; nil where it works in the host's.
    var availableBytes: Int? { get }
    /// What people should know of the model that was loaded: a line each.
    var remarks: [String] { get }

    // Loading. Several matrices stacked by outputs become one (fused QKV, gate and up).
    func makeMatrix(stacking parts: [MatrixSource]) throws -> Matrix
    func makeVector(_ values: [Float]) throws -> Vector
    func makeTable(_ tensor: WeightTensor) throws -> Table
    func makeActivation(maxRows: Int, width: Int) throws -> Activation
    /// For what only products and `gatherLogitRows` read: results of norms, of `attention`, of `gatedLinear`. A device
    /// may keep it as its products take it.
    /// - Parameter pieces: what threads write at once is a multiple of it: a head's width, or the whole.
    func makeProductInput(maxRows: Int, width: Int, pieces: Int) throws -> Activation
    /// `inverseFrequencies[i]` is the angle per position of dimension pair i; pairs are (i, i + count) of a head
    /// (the "half" layout). `scale` multiplies cos and sin (YaRN's attention factor), 1 otherwise.
    func makeRotation(inverseFrequencies: [Float], scale: Float, maxPositions: Int) throws -> Rotation
    func makeCache(_ shape: CacheShape) throws -> Cache
    /// Bytes that one block takes over all layers, for sizing before `makeCache`.
    func cacheBlockBytes(_ shape: CacheShape) -> Int

    // A step, in the order a forward pass calls them. `x`, `y` hold at least `rows` rows.
    /// Makes the batch's indices available to the calls that follow, until the next `begin`.
    func begin(_ batch: PackedBatch) throws
    /// x[r] = table[tokens[r]] * scale
    func embed(_ table: Table, scale: Float, into x: Activation)
    /// x[r] += table[positions[r] + offset] (learned positions)
    func addPositions(_ table: Table, offset: Int, to x: Activation)
    /// y = x / sqrt(mean(x^2) + epsilon) * weight
    func rmsNorm(_ x: Activation, weight: Vector, epsilon: Float, into y: Activation)
    /// x += rmsNorm(y): the norm after a block (Gemma 2 and 3), fused with its residual.
    func addRMSNorm(_ y: Activation, weight: Vector, epsilon: Float, to x: Activation)
    /// y = (x - mean) / sqrt(var + epsilon) * weight + bias
    func layerNorm(_ x: Activation, weight: Vector, bias: Vector, epsilon: Float, into y: Activation)
    /// y = x·Wᵀ + bias, or y += that.
    func linear(_ x: Activation, _ matrix: Matrix, bias: Vector?, accumulate: Bool, into y: Activation)
    /// With W = [gate; up] stacked from exactly two parts (split a tensor that holds both by `rowOrder`):
    /// y = function(x·gateᵀ + b) * (x·upᵀ + b). y is half as wide as W has outputs.
    func gatedLinear(
        _ x: Activation, _ matrix: Matrix, bias: Vector?, function: ActivationFunction, into y: Activation)
    /// x = function(x)
    func activate(_ x: Activation, function: ActivationFunction)
    /// RMS-normalises `heads.count` heads of `headWidth` each within every row, starting at head `heads.lowerBound`.
    func rmsNormHeads(_ qkv: Activation, heads: Range<Int>, headWidth: Int, weight: Vector, epsilon: Float)
    /// Rotates q and k in `qkv` ([q heads | k heads | v heads] of each row; nil: no rotation), then writes k and v to
    /// the batch's slots of `layer`.
    func rotateAndStore(_ qkv: Activation, rotation: Rotation?, cache: Cache, layer: Int)
    /// y[r] = attention of q in qkv[r] over the sequence's cached keys at or before r's position.
    func attention(_ qkv: Activation, cache: Cache, layer: Int, _ shape: AttentionShape, into y: Activation)
    /// Ends the step: everything asked for since `begin` is under way when it returns. A device may run it as a whole.
    /// Throws what any of the step's operations met.
    func submit() throws
    /// Copies `batch.logitRows[range]` of x to the first rows of y.
    func gatherLogitRows(_ x: Activation, range: Range<Int>, into y: Activation)
    /// logits[r] = x[r]·Wᵀ for the first `rows` rows, soft-capped where `softCap` is given: c * tanh(logit / c).
    /// The result stays valid until the next call.
    func logits(_ x: Activation, rows: Int, _ matrix: Matrix, bias: Vector?, softCap: Float?) throws -> Logits

    /// Whether `startChoosing` may be called.
    var choosesTokens: Bool { get }
    /// Asks for a token for each of the first `rows` rows of x by the logits that `logits` would give, without bringing
    /// them to the host. What is chosen depends on the row and its entry of `batch` alone. One choice is under way at
    /// a time; one more step may be begun before `finishChoosing`.
    func startChoosing(
        _ x: Activation, rows: Int, _ matrix: Matrix, bias: Vector?, softCap: Float?, _ batch: CUDASamplingBatch
    ) throws
    /// Waits for the choice under way.
    func finishChoosing() throws -> [CUDASamplingBatch.Choice]

    // Mixture of experts: see `MixtureShape`.
    /// y += Σ over the chosen experts of weight * expert(x).
    func addMixture(
        _ x: Activation, router: Matrix, gateUp: [Matrix], down: [Matrix], _ shape: MixtureShape,
        to y: Activation)
}

extension Device {
    package var remarks: [String] { [] }

    package var choosesTokens: Bool { false }

    package func startChoosing(
        _ x: Activation, rows: Int, _ matrix: Matrix, bias: Vector?, softCap: Float?, _ batch: CUDASamplingBatch
    ) throws { preconditionFailure("\(description) leaves choosing to the host") }

    package func finishChoosing() throws -> [CUDASamplingBatch.Choice] {
        preconditionFailure("\(description) leaves choosing to the host")
    }
}

/// What matrix multiplications and the KV cache round to. Sums are float32 in both.
package enum ComputeType: String, Sendable, CaseIterable {
    case float32, bfloat16
}

/// What a KV cache holds: what the device's products take, or less.
package enum CacheType: String, Sendable, CaseIterable {
    /// Where the device computes in float32.
    case float32
    case bfloat16
    /// GPU: 8-bit floats (e4m3, no scales): half the memory. Keys and values beyond 448 are cut off there.
    case fp8
    /// CPU: whole numbers of 8 bits, each key and each value with a scale of its own: half the memory.
    case int8

    package var elementBytes: Int {
        switch self {
        case .float32: 4
        case .bfloat16: 2
        case .fp8, .int8: 1
        }
    }
}

package enum ActivationFunction: String, Sendable {
    case silu
    /// Gaussian error linear unit by its tanh approximation.
    case geluTanh
    /// Gaussian error linear unit by erf.
    case gelu
    case relu
}

/// A part of a stacked matrix.
package struct MatrixSource: Sendable {
    package enum Weights: Sendable {
        case tensor(WeightTensor)
        case groups(GroupedWeights)
    }

    package var weights: Weights
    /// The tensor lies as `[inputs, outputs]` (GPT-2's Conv1D in Hugging Face checkpoints).
    package var transposed = false
    /// Tensor row of each output; nil keeps the order. Undoes the row permutation of rotary weights in GGUF files,
    /// and picks row ranges of tensors that hold several matrices.
    package var rowOrder: [Int]?
    /// Where a device may round weights to less than the compute type, it must not round these.
    package var keepsPrecision = false
    /// One of a mixture's, which share their inputs' order.
    package var isExpert = false

    package init(_ tensor: WeightTensor, transposed: Bool = false, rowOrder: [Int]? = nil) {
        weights = .tensor(tensor)
        self.transposed = transposed
        self.rowOrder = rowOrder
    }

    package init(_ groups: GroupedWeights) { weights = .groups(groups) }
}

package struct CacheShape: Sendable, Equatable {
    package var layers: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    package var blockCount: Int
    /// Positions in a block.
    package var blockSize: Int

    package init(layers: Int, keyValueHeads: Int, headWidth: Int, blockCount: Int, blockSize: Int = 16) {
        self.layers = layers
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.blockCount = blockCount
        self.blockSize = blockSize
    }
}

package struct AttentionShape: Sendable {
    package var queryHeads: Int
    package var keyValueHeads: Int
    package var headWidth: Int
    /// Multiplies q·k; 1/sqrt(headWidth) in most models.
    package var scale: Float
    /// A query sees itself and the `window - 1` positions before it; nil sees all.
    package var window: Int?
    /// scores = c * tanh(scores / c) before the softmax.
    package var softCap: Float?

    package init(
        queryHeads: Int, keyValueHeads: Int, headWidth: Int, scale: Float, window: Int? = nil,
        softCap: Float? = nil
    ) {
        self.queryHeads = queryHeads
        self.keyValueHeads = keyValueHeads
        self.headWidth = headWidth
        self.scale = scale
        self.window = window
        self.softCap = softCap
    }
}

/// Softmax over all experts' router scores, the best `chosen`, renormalised to sum 1 where `renormalise`.
package struct MixtureShape: Sendable, Equatable {
    package var experts: Int
    package var chosen: Int
    package var renormalise: Bool
    package var function: ActivationFunction

    package init(experts: Int, chosen: Int, renormalise: Bool, function: ActivationFunction) {
        self.experts = experts
        self.chosen = chosen
        self.renormalise = renormalise
        self.function = function
    }
}

extension Device {
    package func makeProductInput(maxRows: Int, width: Int, pieces: Int) throws -> Activation {
        try makeActivation(maxRows: maxRows, width: width)
    }
}
