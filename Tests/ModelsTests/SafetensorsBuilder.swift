import JSON
import Kernels
import Models

/// Writes safetensors files for tests, valid or broken on purpose.
struct SafetensorsBuilder {
    struct Entry {
        var name: String
        var dtype: String
        var shape: [Int]
        var bytes: [UInt8]
    }

    var entries: [Entry] = []

    init() {}

    /// Takes over the weights and words of a file.
    init(_ file: SafetensorsFile) {
        for tensor in file.tensors {
            entries.append(
                Entry(
                    name: tensor.name, dtype: tensor.type.name, shape: tensor.shape,
                    bytes: Array(tensor.bytes)))
        }
        for tensor in file.words {
            add(tensor.name, "I32", tensor.shape, Array(tensor.bytes))
        }
    }

    mutating func add(_ name: String, _ dtype: String, _ shape: [Int], _ bytes: [UInt8]) {
        entries.append(Entry(name: name, dtype: dtype, shape: shape, bytes: bytes))
    }

    /// The header as members that may be changed before `file(header:)`.
    var header: JSONObject {
        var offset: Int64 = 0
        var members: [(name: String, value: JSON)] = [("__metadata__", ["format": "pt"])]
        for entry in entries {
            let end = offset + Int64(entry.bytes.count)
            let shape = JSON.array(entry.shape.map { .int(Int64($0)) })
            members.append(
                (
                    entry.name,
                    [
                        "dtype": .string(entry.dtype), "shape": shape,
                        "data_offsets": [.int(offset), .int(end)],
                    ]
                ))
            offset = end
        }
        return JSONObject(members)
    }

    var file: [UInt8] { file(header: JSON.object(header).text) }

    func file(header: String) -> [UInt8] {
        GGUFBuilder.bytes(UInt64(header.utf8.count)) + Array(header.utf8) + entries.flatMap(\.bytes)
    }
}
