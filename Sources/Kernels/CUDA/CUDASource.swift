/// The CUDA sources that are part of the program (Sources/Kernels/CUDA/*.cu).
package struct CUDASource: Hashable, Sendable {
    /// File name, as compilers name it in messages.
    package let name: String

    package init(name: String) { self.name = name }
}
extension CUDASource {
    static let elementwise = CUDASource(name: "elementwise.cu")
    static let header = CUDASource(name: "mr.cuh")
    var text: [UInt8] { [] }
}
