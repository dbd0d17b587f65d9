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
/// Only algorithms that add up a result in one piece are let in (no split along the inputs). Of these, whatever tile they
/// use, a result's terms are added in the same order, so that all of them give the same bits: measured on an H100 for ten
/// shapes and 1 to 8192 rows (bench/gpu), and checked by `gpu-check` on each card.
final class CUBLASLt: CUDAProducts {
    private let api: mr_cublaslt
    private let stream: UnsafeMutableRawPointer
    private let handle: UnsafeMutableRawPointer
    private let workspace: CUDAMemory
    private var plans: [Shape: Plan?] = [:]

    private struct Shape: Hashable {
        var rows: Int
        var inputs: Int
        var outputs: Int
    }

    /// Descriptions live as long as the process: a few for each shape of the model.
    private struct Plan {
        var description: UnsafeMutableRawPointer
        var a: UnsafeMutableRawPointer
        var b: UnsafeMutableRawPointer
        var d: UnsafeMutableRawPointer
        var choice: mr_cublaslt_choice
    }

    /// What NVIDIA advises for Hopper.
    private static let workspaceBytes = 32 << 20

    init(
        _ api: mr_cublaslt, runtime: any CUDARuntime, stream: UnsafeMutableRawPointer
    ) throws(DeviceError) {
        self.api = api
        self.stream = stream
        var handle: UnsafeMutableRawPointer?
        let status = api.cublasLtCreate(&handle)
        guard status == 0, let handle else {
            throw .lost(what: "starting cuBLASLt", error: "cuBLAS error \(status)")
        }
        self.handle = handle
        workspace = try CUDAMemory(runtime, bytes: Self.workspaceBytes, for: "cuBLASLt's workspace")
    }

    deinit { _ = api.cublasLtDestroy(handle) }

    func multiply(
        _ x: CUDAAddress, rows: Int, by w: CUDAAddress, inputs: Int, outputs: Int, accumulate: Bool,
        into y: CUDAAddress
    ) throws(DeviceError) -> Bool {
        let shape = Shape(rows: rows, inputs: inputs, outputs: outputs)
        let plan: Plan?
        if let known = plans[shape] {
            plan = known
        } else {
            plan = try makePlan(shape)
            plans[shape] = .some(plan)
        }
        guard let plan else { return false }
        var alpha: Float = 1
        var beta: Float = accumulate ? 1 : 0
        let status = withUnsafePointer(to: plan.choice.algorithm) { algorithm in
            algorithm.withMemoryRebound(to: UInt64.self, capacity: 8) { algorithm in
                api.cublasLtMatmul(
                    handle, plan.description, &alpha, w, plan.a, x, plan.b, &beta, y, plan.d, y, plan.d, algorithm,
                    workspace.address, Self.workspaceBytes, stream)
            }
        }
        guard status == 0 else {
            throw .lost(
                what: "multiplying \(rows)x\(inputs) by \(inputs)x\(outputs)", error: "cuBLAS error \(status)")
        }
        return true
    }

    /// The library counts by columns: its D = yᵀ `[outputs, rows]` = (wᵀ)ᵀ·xᵀ.
    private func makePlan(_ shape: Shape) throws(DeviceError) -> Plan? {
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
        var choices = [mr_cublaslt_choice](repeating: mr_cublaslt_choice(), count: 8)
        var found: Int32 = 0
        let status = api.cublasLtMatmulAlgoGetHeuristic(
            handle, description, a, b, d, d, preference, Int32(choices.count), &choices, &found)
        guard status == 0, found > 0, let choice = choices.prefix(Int(found)).first(where: { $0.state == 0 })
        else { return nil }
        return Plan(description: description!, a: a!, b: b!, d: d!, choice: choice)
    }
}
