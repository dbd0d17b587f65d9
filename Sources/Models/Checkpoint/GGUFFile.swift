import Kernels

/// A GGUF checkpoint, version 2 or 3, little endian: metadata and tensors of one file, or of all files of
/// a split one. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
///
/// The file may be hostile: whatever is in it, opening either succeeds or throws a `ModelError` that
/// names the field. Tensors point into the mapping and keep it alive.
package struct GGUFFile: Sendable {
    package let path: String
    package let version: Int
    /// Of a split file: the first part's.
    package let metadata: GGUFMetadata
    /// In the order of the file; shapes are row-major (slowest dimension first), the reverse of what the
    /// file says.
    package let tensors: [WeightTensor]
    /// Bytes of the header of each part, for fingerprints: metadata and tensor directory.
    package let headers: [GGUFHeaderBytes]

    /// - Parameter path: a `.gguf` file; the first part (`…-00001-of-0000N.gguf`) of a split one.
    package init(path: String) throws(ModelError) {
        let first = try GGUFPart(path: path)
        self.path = path
        version = first.version
        metadata = first.metadata
        let count = first.metadata.int("split.count") ?? 1
        guard count > 1 else {
            tensors = first.tensors
            headers = [first.header]
            return
        }
        let parts = try GGUFPart.joinSplit(first: first, count: count)
        tensors = parts.flatMap(\.tensors)
        headers = parts.map(\.header)
        if let expected = first.metadata.int("split.tensors.count"), expected != tensors.count {
            throw .malformed(
                file: first.name, field: "split.tensors.count",
                reason: "says \(expected) tensors, the \(count) parts hold \(tensors.count)")
        }
    }
}

/// The part of a mapped GGUF file before its tensor data.
package struct GGUFHeaderBytes: @unchecked Sendable {
    // @unchecked: points into `owner`, a read-only mapping.
    package let bytes: UnsafeRawBufferPointer
    package let fileBytes: Int
    let owner: MappedFile
}

/// One file: all of a checkpoint, or a part of a split one.
struct GGUFPart {
    let path: String
    let name: String
    let version: Int
    let metadata: GGUFMetadata
    let tensors: [WeightTensor]
    let header: GGUFHeaderBytes

    private static let magic: UInt32 = 0x4655_4747  // "GGUF"

    init(path: String) throws(ModelError) {
        let mapping = try MappedFile(path: path)
        self.path = path
        name = mapping.name
        var cursor = GGUFCursor(file: mapping.name, bytes: mapping.bytes)
        version = try Self.readVersion(&cursor)
        // A tensor takes at least name length, name, dimension count, type and offset; a key its length,
        // name, type and value.
        let tensorCount = try cursor.count(
            minimumBytes: 25, limit: GGUFCursor.Limits.tensors, "tensor count")
        let keyCount = try cursor.count(
            minimumBytes: 14, limit: GGUFCursor.Limits.keys, "metadata key count")
        metadata = try Self.readMetadata(&cursor, count: keyCount)
        let alignment = try Self.alignment(metadata, cursor)
        var directory: [GGUFTensorEntry] = []
        for index in 0..<tensorCount { directory.append(try GGUFTensorEntry(&cursor, index: index)) }
        header = GGUFHeaderBytes(
            bytes: UnsafeRawBufferPointer(rebasing: mapping.bytes[..<cursor.offset]),
            fileBytes: mapping.bytes.count, owner: mapping)
        tensors = try GGUFTensorEntry.place(
            directory, after: cursor.offset, alignment: alignment, in: mapping)
    }

    private static func readVersion(_ cursor: inout GGUFCursor) throws(ModelError) -> Int {
        guard try cursor.integer(UInt32.self, "magic") == magic else {
            throw .malformed(
                file: cursor.file, field: "magic", reason: "not a GGUF file (it does not begin with GGUF)")
        }
        let version = try cursor.integer(UInt32.self, "version")
        switch version {
        case 2, 3: return Int(version)
        case UInt32(2).byteSwapped, UInt32(3).byteSwapped:
            throw .unsupported(
                file: cursor.file, field: "version", reason: "big-endian GGUF files are not supported")
        default:
            throw .unsupported(
                file: cursor.file, field: "version",
                reason: "GGUF version \(version); versions 2 and 3 are supported")
        }
    }

    private static func readMetadata(_ cursor: inout GGUFCursor, count: Int) throws(ModelError)
        -> GGUFMetadata
    {
        var values: [String: GGUFValue] = [:]
        for index in 0..<count {
            let key = try cursor.name("metadata key \(index)")
            let value = try cursor.value("metadata \(key)")
            guard values.updateValue(value, forKey: key) == nil else {
                throw cursor.malformed("metadata \(key)", "the key occurs twice")
            }
        }
        return GGUFMetadata(values)
    }

    private static func alignment(_ metadata: GGUFMetadata, _ cursor: GGUFCursor) throws(ModelError) -> Int
    {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .int(let alignment) = value, (8...1 << 20).contains(alignment),
            alignment.nonzeroBitCount == 1
        else {
            throw cursor.malformed("metadata general.alignment", "must be a power of two from 8 to 1048576")
        }
        return Int(alignment)
    }
}

/// What the directory says of a tensor.
struct GGUFTensorEntry {
    let name: String
    let type: TensorType
    /// Row-major: the reverse of the file's order.
    let shape: [Int]
    let byteCount: Int
    /// From the start of the tensor data.
    let offset: UInt64

    init(_ cursor: inout GGUFCursor, index: Int) throws(ModelError) {
        let name = try cursor.name("tensor \(index) name")
        self.name = name
        let dimensions = try cursor.integer(UInt32.self, "tensor \(name): dimension count")
        guard dimensions <= 4 else {
            throw cursor.malformed(
                "tensor \(name): dimension count", "\(dimensions) dimensions; 4 are the most")
        }
        var shape: [Int] = []
        var elements = 1
        for axis in 0..<dimensions {
            let extent = try cursor.integer(UInt64.self, "tensor \(name): dimension \(axis)")
            guard let size = Int(exactly: extent), size > 0,
                case let product = elements.multipliedReportingOverflow(by: size),
                !product.overflow
            else {
                throw cursor.malformed(
                    "tensor \(name): dimension \(axis)", "\(extent) is zero or too large")
            }
            elements = product.partialValue
            shape.append(size)
        }
        self.shape = shape.reversed()
        let type = try Self.readType(&cursor, name: name)
        self.type = type
        let columns = shape.first ?? 1
        guard columns % type.blockElements == 0 else {
            throw cursor.malformed(
                "tensor \(name): dimension 0",
                "rows of \(columns) are not whole blocks of \(type.blockElements) (\(type.name))")
        }
        let byteCount = (elements / type.blockElements).multipliedReportingOverflow(by: type.blockBytes)
        guard !byteCount.overflow else { throw cursor.malformed("tensor \(name)", "its size overflows") }
        self.byteCount = byteCount.partialValue
        offset = try cursor.integer(UInt64.self, "tensor \(name): offset")
    }

    private static func readType(_ cursor: inout GGUFCursor, name: String) throws(ModelError) -> TensorType
    {
        let raw = try cursor.integer(UInt32.self, "tensor \(name): type")
        if let type = TensorType(rawValue: raw) { return type }
        let supported = TensorType.allCases.map(\.name).joined(separator: " ")
        throw .unsupported(
            file: cursor.file, field: "tensor \(name): type",
            reason: "tensor type \(raw) is not supported; supported are \(supported)")
    }

    /// Checks that every tensor lies inside the file, aligned and overlapping no other.
    static func place(
        _ directory: [GGUFTensorEntry], after headerBytes: Int, alignment: Int, in mapping: MappedFile
    ) throws(ModelError) -> [WeightTensor] {
        func malformed(_ name: String, _ reason: String) -> ModelError {
            .malformed(file: mapping.name, field: "tensor \(name): offset", reason: reason)
        }
        var names: Set<String> = []
        var tensors: [WeightTensor] = []
        let dataStart = (headerBytes + alignment - 1) / alignment * alignment
        let dataBytes = max(0, mapping.bytes.count - dataStart)
        for entry in directory {
            guard names.insert(entry.name).inserted else {
                throw .malformed(
                    file: mapping.name, field: "tensor \(entry.name)", reason: "the name occurs twice")
            }
            guard let offset = Int(exactly: entry.offset), offset % alignment == 0 else {
                throw malformed(
                    entry.name, "\(entry.offset) is not a multiple of the alignment, \(alignment)")
            }
            guard offset <= dataBytes, entry.byteCount <= dataBytes - offset else {
                throw malformed(
                    entry.name,
                    "its \(entry.byteCount) bytes at \(offset) end past the \(dataBytes) of tensor data; "
                        + "is the file cut off?")
            }
            let start = dataStart + offset
            tensors.append(
                WeightTensor(
                    name: entry.name, type: entry.type, shape: entry.shape,
                    bytes: UnsafeRawBufferPointer(rebasing: mapping.bytes[start..<start + entry.byteCount]),
                    owner: mapping))
        }
        let order = directory.indices.sorted { directory[$0].offset < directory[$1].offset }
        for (a, b) in zip(order, order.dropFirst()) {
            guard directory[a].offset + UInt64(directory[a].byteCount) <= directory[b].offset else {
                throw malformed(directory[b].name, "overlaps tensor \(directory[a].name)")
            }
        }
        return tensors
    }
}

// MARK: - Split files

extension GGUFPart {
    /// Opens the other parts, found beside the first by llama.cpp's naming (gguf-split):
    /// `NAME-00002-of-00005.gguf`.
    static func joinSplit(first: GGUFPart, count: Int) throws(ModelError) -> [GGUFPart] {
        guard count <= 99_999, first.metadata.int("split.no") == 0 else {
            throw .malformed(
                file: first.name, field: "split.no",
                reason: "this is not the first of \(count) parts; give the path of the first")
        }
        let ending = "-00001-of-\(padded(count)).gguf"
        guard first.path.hasSuffix(ending) else {
            throw .malformed(
                file: first.name, field: "split.count",
                reason:
                    "the first of \(count) parts must be named …\(ending), so that the others can be found")
        }
        var parts = [first]
        var names = Set(first.tensors.map(\.name))
        for number in 1..<count {
            let part = try GGUFPart(
                path: first.path.dropLast(ending.count) + "-\(padded(number + 1))-of-\(padded(count)).gguf")
            guard part.metadata.int("split.no") == number, part.metadata.int("split.count") == count else {
                throw .malformed(
                    file: part.name, field: "split.no",
                    reason: "does not say that it is part \(number) of \(count)")
            }
            for tensor in part.tensors where !names.insert(tensor.name).inserted {
                throw .malformed(
                    file: part.name, field: "tensor \(tensor.name)", reason: "is in another part too")
            }
            parts.append(part)
        }
        return parts
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
