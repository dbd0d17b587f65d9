import CUDASources

/// The CUDA sources that are part of the program (Sources/Kernels/CUDA).
package struct CUDASource: Hashable, Sendable {
    /// File name, as compilers name it in messages.
    package let name: String

    /// A file of that folder; a name that is not there traps.
    package init(_ name: String) {
        precondition(mr_cuda_source_named(name) != nil, "there is no CUDA source \(name)")
        self.name = name
    }

    package var text: [UInt8] {
        guard let source = mr_cuda_source_named(name) else { return [] }
        return Array(UnsafeBufferPointer(start: source.pointee.text, count: source.pointee.bytes))
    }

    static let elementwise = CUDASource("elementwise.cu")
    static let tables = CUDASource("tables.cu")
    static let attention = CUDASource("attention.cu")
    static let attentionAny = CUDASource("attention_any.cu")
    static let gemm = CUDASource("gemm.cu")
    static let gemmFloat = CUDASource("gemm_float.cu")
    static let gemmQuantized = CUDASource("gemm_quantized.cu")
    static let groups = CUDASource("groups.cu")
    static let mixture = CUDASource("mixture.cu")
    static let sampling = CUDASource("sampling.cu")
    static let argmax = CUDASource("argmax.cu")

    /// What sources include.
    static let headers = [
        CUDASource("mr.cuh"), CUDASource("fp8.cuh"), CUDASource("attention.cuh"), CUDASource("gemm.cuh"),
        CUDASource("gemm_quantized.cuh"), CUDASource("sampling.cuh"),
    ]
}
