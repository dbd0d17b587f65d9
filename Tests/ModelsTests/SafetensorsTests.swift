import JSON
import Kernels
import Models
import Testing

@Suite struct SafetensorsTests {
    static func sample() -> SafetensorsBuilder {
        var builder = SafetensorsBuilder()
        builder.add("a", "F16", [3], [0, 0x3C, 0, 0x40, 0, 0xC0])
        builder.add("b", "F32", [1, 2], [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40])
        builder.add("mask", "BOOL", [2], [1, 0])
        builder.add("none", "F32", [0, 4], [])
        return builder
    }

    static func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
        let folder = try ScratchFolder()
        return try SafetensorsFile(path: folder.write("x.safetensors", bytes))
    }

    static func refusal(_ bytes: [UInt8]) throws -> String {
        do {
            _ = try open(bytes)
            return ""
        } catch let error as ModelError { return error.description }
    }

    @Test func readsTensors() throws {
        let file = try Self.open(Self.sample().file)
        #expect(file.tensors.map(\.name) == ["a", "b", "none"])
        #expect(file.tensors.map(\.shape) == [[3], [1, 2], [0, 4]])
        #expect(file.otherTensors.map(\.name) == ["mask"])
        // `b` lies six bytes into the data: it is there, aligned for float loads.
        let b = file.tensors[1]
        #expect(b.bytes.baseAddress.map { Int(bitPattern: $0) % 4 } == 0)
        #expect(Array(b.bytes.bindMemory(to: Float.self)) == [1, 2])
    }

    @Test func everyTruncationIsAnError() throws {
        let bytes = Self.sample().file
        for length in 0..<bytes.count {
            #expect(try !Self.refusal(Array(bytes[..<length])).isEmpty, "\(length) bytes opened")
        }
        #expect(try Self.refusal(bytes + [0]).contains("data_offsets"))
    }

    @Test func namesTheFieldThatIsWrong() throws {
        let builder = Self.sample()
        func broken(_ name: String, _ member: String, _ value: JSON) throws -> String {
            var header = builder.header
            var entry = header[name]?.object ?? JSONObject()
            entry[member] = value
            header[name] = .object(entry)
            return try Self.refusal(builder.file(header: JSON.object(header).text))
        }
        #expect(try broken("a", "dtype", "Q9").contains("a: dtype: unknown type Q9"))
        #expect(try broken("a", "dtype", 7).contains("a: dtype"))
        #expect(try broken("a", "shape", [-1]).contains("a: shape"))
        #expect(try broken("a", "shape", [4]).contains("a: data_offsets"))
        #expect(try broken("b", "shape", [4_611_686_018_427_387_904, 4]).contains("overflows"))
        #expect(try broken("b", "shape", [1.5]).contains("b: shape"))
        #expect(try broken("b", "data_offsets", [14, 6]).contains("b: data_offsets"))
        #expect(try broken("b", "data_offsets", [-8, 0]).contains("b: data_offsets"))
        // A hole, an overlap.
        #expect(try broken("b", "data_offsets", [8, 16]).contains("begins at"))
        #expect(try broken("b", "data_offsets", [4, 12]).contains("begins at"))
        #expect(try Self.refusal(builder.file(header: "[]")).contains("does not begin with {"))
        #expect(try Self.refusal(builder.file(header: "{\"a\":")).contains("header"))
        #expect(try Self.refusal(builder.file(header: "{\"a\":1,\"a\":2}")).contains("occurs twice"))
        #expect(try Self.refusal([UInt8](repeating: 0xFF, count: 64)).contains("header length"))
    }

    @Test func headersMayBePadded() throws {
        let builder = Self.sample()
        let text = JSON.object(builder.header).text + String(repeating: " ", count: 13)
        #expect(try Self.open(builder.file(header: text)).tensors.count == 3)
    }
}
