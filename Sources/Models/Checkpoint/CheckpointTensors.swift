import Kernels

/// The tensors of a checkpoint by name, and which of them have been taken: one that nobody takes is a
/// sign of a computation that is not understood, so `finish` refuses it.
final class CheckpointTensors {
    /// The file, for messages.
    let file: String
    private let tensors: [String: WeightTensor]
    private let words: [String: WordTensor]
    private let otherTypes: [String: String]
    private var taken: Set<String> = []

    /// - Parameter otherTypes: of all tensors that are no weights, `words` among them.
    init(
        file: String, _ tensors: [WeightTensor], words: [WordTensor] = [],
        otherTypes: [(name: String, dtype: String)] = []
    ) {
        self.file = file
        self.words = Dictionary(words.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.tensors = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.otherTypes = Dictionary(
            otherTypes.map { ($0.name, $0.dtype) }, uniquingKeysWith: { first, _ in first })
    }

    func has(_ name: String) -> Bool { tensors[name] != nil || otherTypes[name] != nil }

    func shape(_ name: String) -> [Int]? { tensors[name]?.shape }

    func takeIfPresent(_ name: String) throws(ModelError) -> WeightTensor? {
        if let dtype = otherTypes[name] {
            throw .unsupported(
                file: file, field: "tensor \(name)", reason: "weights of type \(dtype) are not supported")
        }
        guard let tensor = tensors[name] else { return nil }
        taken.insert(name)
        return tensor
    }

    func take(_ name: String, shape: [Int]) throws(ModelError) -> WeightTensor {
        guard let tensor = try takeIfPresent(name) else {
            throw .malformed(file: file, field: "tensor \(name)", reason: "is missing")
        }
        guard tensor.shape == shape else {
            throw .malformed(
                file: file, field: "tensor \(name)",
                reason: "has shape \(tensor.shape), the configuration asks for \(shape)")
        }
        return tensor
    }

    /// A tensor of 32-bit words.
    func takeWords(_ name: String, shape: [Int]) throws(ModelError) -> WordTensor {
        guard let tensor = words[name] else {
            let type = otherTypes[name] ?? tensors[name]?.type.name
            throw .malformed(
                file: file, field: "tensor \(name)", reason: type.map { "is of type \($0), not I32" } ?? "is missing")
        }
        taken.insert(name)
        guard tensor.shape == shape else {
            throw .malformed(
                file: file, field: "tensor \(name)",
                reason: "has shape \(tensor.shape), the configuration asks for \(shape)")
        }
        return tensor
    }

    /// Float32 values of a norm weight or bias.
    func takeVector(_ name: String, count: Int) throws(ModelError) -> [Float] {
        try take(name, shape: [count]).floats(file: file)
    }

    /// - Throws: when a tensor was not taken that `ignored` does not know.
    func finish(ignoring ignored: (String) -> Bool) throws(ModelError) {
        let left = (Array(tensors.keys) + Array(otherTypes.keys)).filter {
            !taken.contains($0) && !ignored($0)
        }
        guard let first = left.min() else { return }
        throw .unsupported(
            file: file, field: "tensor \(first)",
            reason: "this architecture has no such tensor"
                + (left.count > 1 ? " (nor \(left.count - 1) more of the file)" : ""))
    }
}

extension WeightTensor {
    /// The values as float32, of the types that norms and biases are stored in.
    func floats(file: String) throws(ModelError) -> [Float] {
        let count = rows * columns
        switch type {
        case .f32: return (0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        case .f16:
            return (0..<count).map { Float(bytes.loadUnaligned(fromByteOffset: $0 * 2, as: Float16.self)) }
        case .bf16:
            return (0..<count).map {
                Float(
                    bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) << 16)
            }
        default:
            throw .unsupported(
                file: file, field: "tensor \(name)",
                reason: "norms and biases of type \(type.name) are not supported")
        }
    }

    /// Matrix `index` of a tensor that holds several: `[count, rows, columns]`.
    func matrix(_ index: Int) -> WeightTensor {
        let size = bytes.count / shape[0]
        return WeightTensor(
            name: "\(name)[\(index)]", type: type, shape: Array(shape.dropFirst()),
            bytes: UnsafeRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size]), owner: owner)
    }
}
