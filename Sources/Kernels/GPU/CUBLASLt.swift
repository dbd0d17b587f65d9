import CCUDA

/// Matrix products by a library. A row of the result depends on that row alone, bit for bit, whatever `rows` is.
package protocol CUDAProducts: AnyObject {
    /// y = x·wᵀ, or y += that. Shapes: x `[rows, inputs]` bfloat16, w `[outputs, inputs]` bfloat16, y `[rows, outputs]`
    /// float32.
    /// - Returns: false, and nothing done, where the library has no way to do it.
    func multiply(
        _ x: CUDAAddress, rows: Int, by w: CUDAAddress, inputs: Int, outputs: Int, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) -> Bool
}

/// NVIDIA's cuBLASLt. Source: https://docs.nvidia.com/cuda/cublas/#using-the-cublaslt-api
///
/// Only algorithms that add up a result in one piece are let in (no split along the inputs). Of these, whatever
/// tile they use, a result's terms are added in the same order, so that all give the same bits: seen on an H100
/// for ten shapes and 1 to 8192 rows, and checked for each algorithm before it is taken (`CUBLASLtTuning`).
final class CUBLASLt: CUDAProducts {
    let api: mr_cublaslt
    let stream: UnsafeMutableRawPointer
    unowned let runtime: CUDADriver
    private let handle: UnsafeMutableRawPointer
    private let workspace: CUDAAddress
    private var plans: [CUBLASLtShape: CUBLASLtPlan?] = [:]

    /// What NVIDIA advises for Hopper.
    private static let workspaceBytes = 32 << 20

    /// - Parameter runtime: owns this; kept without a reference of its own.
    init(
        _ api: mr_cublaslt, runtime: CUDADriver, stream: UnsafeMutableRawPointer
    ) throws(DeviceError) {
        self.api = api
        self.stream = stream
        self.runtime = runtime
        var handle: UnsafeMutableRawPointer?
        let status = api.cublasLtCreate(&handle)
        guard status == 0, let handle else {
            throw .lost(what: "starting cuBLASLt", error: "cuBLAS error \(status)")
        }
        self.handle = handle
        workspace = try runtime.allocate(Self.workspaceBytes, for: "cuBLASLt's workspace")
    }

    deinit { _ = api.cublasLtDestroy(handle) }

    func multiply(
        _ x: CUDAAddress, rows: Int, by w: CUDAAddress, inputs: Int, outputs: Int, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) -> Bool {
        let shape = CUBLASLtShape(rows: rows, inputs: inputs, outputs: outputs)
        let plan: CUBLASLtPlan?
        if let known = plans[shape] {
            plan = known
        } else {
            plan = try CUBLASLtTuning(library: self, shape: shape, w: w).best()
            plans[shape] = .some(plan)
        }
        guard let plan else { return false }
        try run(plan, plan.choices[0], shape, x, w, accumulate: accumulate, into: y)
        return true
    }

    func run(
        _ plan: CUBLASLtPlan, _ choice: mr_cublaslt_choice, _ shape: CUBLASLtShape, _ x: CUDAAddress,
        _ w: CUDAAddress, accumulate: Bool, into y: CUDAAddress
    ) throws(DeviceError) {
        var alpha: Float = 1
        var beta: Float = accumulate ? 1 : 0
        let status = withUnsafePointer(to: choice.algorithm) { algorithm in
            algorithm.withMemoryRebound(to: UInt64.self, capacity: 8) { algorithm in
                api.cublasLtMatmul(
                    handle, plan.description, &alpha, w, plan.a, x, plan.b, &beta, y, plan.d, y, plan.d, algorithm,
                    workspace, Self.workspaceBytes, stream)
            }
        }
        guard status == 0 else {
            throw .lost(
                what: "multiplying \(shape.rows)x\(shape.inputs) by \(shape.inputs)x\(shape.outputs)",
                error: "cuBLAS error \(status)")
        }
    }

    /// Describes a product and asks for up to `count` algorithms, best first by the library's own estimate. nil
    /// where it has none.
    ///
    /// The library counts by columns: its D = yᵀ `[outputs, rows]` = (wᵀ)ᵀ·xᵀ. Descriptions live as long as the
    /// process: a few for each shape of the model.
    func plan(_ shape: CUBLASLtShape, count: Int) throws(DeviceError) -> CUBLASLtPlan? {
        func check(_ status: Int32) throws(DeviceError) {
            guard status == 0 else {
                throw .lost(what: "describing a product", error: "cuBLAS error \(status)")
            }
        }
        let (bfloat16, float32, computeFloat32): (Int32, Int32, Int32) = (14, 0, 68)
        var description: UnsafeMutableRawPointer?
        try check(api.cublasLtMatmulDescCreate(&description, computeFloat32, float32))
        var transposed: Int32 = 1
        try check(api.cublasLtMatmulDescSetAttribute(description, 3, &transposed, 4))
        let (rows, inputs, outputs) = (UInt64(shape.rows), UInt64(shape.inputs), UInt64(shape.outputs))
        var (a, b, d): (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?)
        try check(api.cublasLtMatrixLayoutCreate(&a, bfloat16, inputs, outputs, Int64(shape.inputs)))
        try check(api.cublasLtMatrixLayoutCreate(&b, bfloat16, inputs, rows, Int64(shape.inputs)))
        try check(api.cublasLtMatrixLayoutCreate(&d, float32, outputs, rows, Int64(shape.outputs)))
        var preference: UnsafeMutableRawPointer?
        try check(api.cublasLtMatmulPreferenceCreate(&preference))
        defer { _ = api.cublasLtMatmulPreferenceDestroy(preference) }
        var bytes = Self.workspaceBytes
        try check(api.cublasLtMatmulPreferenceSetAttribute(preference, 1, &bytes, 8))
        var noReduction: UInt32 = 0
        try check(api.cublasLtMatmulPreferenceSetAttribute(preference, 3, &noReduction, 4))
        var choices = [mr_cublaslt_choice](repeating: mr_cublaslt_choice(), count: count)
        var found: Int32 = 0
        let status = api.cublasLtMatmulAlgoGetHeuristic(
            handle, description, a, b, d, d, preference, Int32(count), &choices, &found)
        let usable = choices.prefix(Int(max(found, 0))).filter { $0.state == 0 }
        guard status == 0, !usable.isEmpty else { return nil }
        return CUBLASLtPlan(description: description!, a: a!, b: b!, d: d!, choices: usable)
    }
}

struct CUBLASLtShape: Hashable {
    var rows: Int
    var inputs: Int
    var outputs: Int
}

/// A described product with algorithms for it.
struct CUBLASLtPlan {
    var description: UnsafeMutableRawPointer
    var a: UnsafeMutableRawPointer
    var b: UnsafeMutableRawPointer
    var d: UnsafeMutableRawPointer
    /// Best first; never empty.
    var choices: [mr_cublaslt_choice]
}
