import JSON
import Kernels

/// A safetensors file, memory-mapped. Format: https://github.com/huggingface/safetensors#format
///
/// As its authors' reader does, this one demands a header of valid JSON without repeated names, and
/// tensors that cover the data without holes or overlaps. The file may be hostile: opening succeeds or
/// throws, naming the field.
package struct SafetensorsFile: Sendable {
    package let path: String
    /// Tensors of the types that weights come in, in the order of the header.
    package let tensors: [WeightTensor]
    /// Tensors of other types (integers, masks, 8-bit floats): name and dtype.
    package let otherTensors: [(name: String, dtype: String)]
    /// Those of them that hold 32-bit integers, which quantised weights are packed in.
    package let words: [WordTensor]
    /// The length field and the JSON header, for fingerprints.
    package let header: [UInt8]
    package let fileBytes: Int

    /// Headers of real files are a few megabytes at most; parsing a larger one could take gigabytes.
    private static let headerLimit = 16 << 20

    package init(path: String) throws(ModelError) {
        let mapping = try MappedFile(path: path)
        let bytes = mapping.bytes
        self.path = path
        fileBytes = bytes.count
        guard bytes.count >= 8 else {
            throw .malformed(
                file: mapping.name, field: "header length",
                reason: "the file ends after \(bytes.count) bytes")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(min(Self.headerLimit, bytes.count - 8)) else {
            throw .malformed(
                file: mapping.name, field: "header length",
                reason:
                    "\(length) is more than the file (\(bytes.count) bytes) or the limit, \(Self.headerLimit)"
            )
        }
        let dataStart = 8 + Int(length)
        header = [UInt8](bytes[..<dataStart])
        let entries = try Self.parse(header[8...], file: mapping.name)
        try Self.checkCoverage(entries, dataBytes: bytes.count - dataStart, file: mapping.name)
        tensors = entries.compactMap { $0.tensor(in: mapping, dataStart: dataStart) }
        words = entries.compactMap { $0.words(in: mapping, dataStart: dataStart) }
        otherTensors = entries.filter { $0.weightType == nil }.map { ($0.name, $0.dtype) }
    }

    private static func parse(_ text: ArraySlice<UInt8>, file: String) throws(ModelError)
        -> [SafetensorsEntry]
    {
        guard text.first == UInt8(ascii: "{") else {
            throw .malformed(
                file: file, field: "header", reason: "does not begin with {; not a safetensors file")
        }
        let json: JSON
        var parser = JSONParser()
        do { json = try parser.parse(text) } catch {
            throw .malformed(file: file, field: "header", reason: error.description)
        }
        guard let object = json.object else {
            throw .malformed(file: file, field: "header", reason: "must be an object, is \(json.kindName)")
        }
        if let repeated = object.repeatedNames.first {
            throw .malformed(file: file, field: "header", reason: "the name \(repeated) occurs twice")
        }
        var entries: [SafetensorsEntry] = []
        for (name, value) in object.members where name != "__metadata__" {
            entries.append(try SafetensorsEntry(name: name, value, file: file))
        }
        return entries
    }

    private static func checkCoverage(
        _ entries: [SafetensorsEntry], dataBytes: Int, file: String
    ) throws(ModelError) {
        var end = 0
        for entry in entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
            guard entry.begin == end else {
                throw .malformed(
                    file: file, field: "\(entry.name): data_offsets",
                    reason: "begins at \(entry.begin), but the tensor before it ends at \(end)")
            }
            end = entry.end
        }
        guard end == dataBytes else {
            throw .malformed(
                file: file, field: "data_offsets",
                reason:
                    "the tensors take \(end) bytes, the file holds \(dataBytes) bytes of data; is it cut off?"
            )
        }
    }
}

/// What the header says of a tensor.
private struct SafetensorsEntry {
    let name: String
    let dtype: String
    let shape: [Int]
    let begin: Int
    let end: Int

    /// Bytes an element, of every type that the format names except those smaller than a byte.
    private static let elementBytes = [
        "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2,
        "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
    ]

    var weightType: TensorType? {
        switch dtype {
        case "F32": .f32
        case "F16": .f16
        case "BF16": .bf16
        default: nil
        }
    }

    init(name: String, _ value: JSON, file: String) throws(ModelError) {
        func malformed(_ field: String, _ reason: String) -> ModelError {
            .malformed(file: file, field: "\(name): \(field)", reason: reason)
        }
        self.name = name
        guard let dtype = value["dtype"]?.string else {
            throw malformed("dtype", "is missing or not a string")
        }
        guard let elementBytes = Self.elementBytes[dtype] else {
            throw .unsupported(file: file, field: "\(name): dtype", reason: "unknown type \(dtype)")
        }
        guard let extents = value["shape"]?.array, extents.count <= 8 else {
            throw malformed("shape", "is missing, not an array, or of more than 8 dimensions")
        }
        var bytes = elementBytes
        var shape: [Int] = []
        for extent in extents {
            guard let size = extent.int, size >= 0 else { throw malformed("shape", "holds \(extent.text)") }
            let product = bytes.multipliedReportingOverflow(by: size)
            guard !product.overflow else { throw malformed("shape", "its size overflows") }
            bytes = product.partialValue
            shape.append(size)
        }
        guard let offsets = value["data_offsets"]?.array, offsets.count == 2, let begin = offsets[0].int,
            let end = offsets[1].int, begin >= 0, end >= begin
        else { throw malformed("data_offsets", "must be two ascending byte positions") }
        guard end - begin == bytes else {
            throw malformed(
                "data_offsets", "span \(end - begin) bytes, but \(dtype) \(shape) takes \(bytes)")
        }
        self.dtype = dtype
        self.shape = shape
        self.begin = begin
        self.end = end
    }

    /// The tensor, where it is of a weight type.
    func tensor(in mapping: MappedFile, dataStart: Int) -> WeightTensor? {
        guard let weightType else { return nil }
        let (bytes, owner) = span(in: mapping, dataStart: dataStart, alignment: weightType.blockBytes)
        return WeightTensor(name: name, type: weightType, shape: shape, bytes: bytes, owner: owner)
    }

    /// The tensor, where it holds 32-bit integers.
    func words(in mapping: MappedFile, dataStart: Int) -> WordTensor? {
        guard dtype == "I32" else { return nil }
        let (bytes, owner) = span(in: mapping, dataStart: dataStart, alignment: 4)
        return WordTensor(name: name, shape: shape, bytes: bytes, owner: owner)
    }

    /// Nothing in the format aligns the data: what does not lie at a multiple of its element size is copied.
    private func span(
        in mapping: MappedFile, dataStart: Int, alignment: Int
    ) -> (UnsafeRawBufferPointer, owner: AnyObject) {
        let span = UnsafeRawBufferPointer(rebasing: mapping.bytes[(dataStart + begin)..<(dataStart + end)])
        guard (dataStart + begin) % alignment == 0 else {
            let copy = AlignedCopy(of: span)
            return (copy.bytes, copy)
        }
        return (span, mapping)
    }
}

/// Owned, aligned bytes of a tensor that lies unaligned in its file.
private final class AlignedCopy: @unchecked Sendable {
    // @unchecked: written once, here.
    let bytes: UnsafeRawBufferPointer

    init(of source: UnsafeRawBufferPointer) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 64)
        memory.copyMemory(from: source)
        bytes = UnsafeRawBufferPointer(memory)
    }

    deinit { bytes.deallocate() }
}
