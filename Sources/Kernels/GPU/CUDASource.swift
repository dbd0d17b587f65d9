/// The CUDA sources that are part of the program (Sources/Kernels/CUDA).
package struct CUDASource: Hashable, Sendable {
    /// File name, as compilers name it in messages.
    package let name: String
    package let text: [UInt8]

    private init(_ name: String, _ text: [UInt8]) {
        self.name = name
        self.text = text
    }

    package static func == (a: Self, b: Self) -> Bool { a.name == b.name }
    package func hash(into hasher: inout Hasher) { hasher.combine(name) }

    static let elementwise = CUDASource("elementwise.cu", PackageResources.elementwise_cu)
    static let tables = CUDASource("tables.cu", PackageResources.tables_cu)
    static let attention = CUDASource("attention.cu", PackageResources.attention_cu)
    static let attentionAny = CUDASource("attention_any.cu", PackageResources.attention_any_cu)

    static let gemm = CUDASource("gemm.cu", PackageResources.gemm_cu)
    static let sampling = CUDASource("sampling.cu", PackageResources.sampling_cu)
    static let argmax = CUDASource("argmax.cu", PackageResources.argmax_cu)

    /// What sources include.
    static let headers = [
        CUDASource("mr.cuh", PackageResources.mr_cuh),
        CUDASource("attention.cuh", PackageResources.attention_cuh),
        CUDASource("gemm.cuh", PackageResources.gemm_cuh),
        CUDASource("sampling.cuh", PackageResources.sampling_cuh),
    ]
}
