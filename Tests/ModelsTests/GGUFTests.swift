import Foundation
import Kernels
import Models
import Testing

@Suite struct GGUFTests {
    static func sample() -> GGUFBuilder {
        var builder = GGUFBuilder()
        builder.key("general.architecture", "llama")
        builder.key("a.count", 7)
        builder.tensor("m", [32, 3], type: 8, byteCount: 3 * 34)
        builder.tensor("v", [5], type: 0, byteCount: 20)
        return builder
    }

    static func open(_ builder: GGUFBuilder) throws -> GGUFFile { try open(bytes: builder.file) }

    static func open(bytes: [UInt8]) throws -> GGUFFile {
        let folder = try ScratchFolder()
        return try GGUFFile(path: folder.write("x.gguf", bytes))
    }

    /// What opening throws, as text; empty when it opens.
    static func refusal(_ builder: GGUFBuilder) throws -> String { try refusal(bytes: builder.file) }

    static func refusal(bytes: [UInt8]) throws -> String {
        do {
            _ = try open(bytes: bytes)
            return ""
        } catch let error as ModelError { return error.description }
    }

    @Test(arguments: [UInt32(2), 3])
    func readsValuesAndTensors(version: UInt32) throws {
        var builder = Self.sample()
        builder.version = version
        builder.key("f", type: 6, GGUFBuilder.bytes(Float(1.5)))
        builder.key("b", type: 7, [1])
        builder.key("i8", type: 1, [0xFF])
        builder.key("u64", type: 10, GGUFBuilder.bytes(UInt64.max))
        builder.key("raw", type: 8, GGUFBuilder.bytes(UInt64(2)) + [0xC3, 0x28])
        builder.key(
            "ints", type: 9,
            GGUFBuilder.bytes(UInt32(5)) + GGUFBuilder.bytes(UInt64(2)) + [1, 0, 0, 0, 255, 255, 255, 255])
        builder.key(
            "floats", type: 9,
            GGUFBuilder.bytes(UInt32(6)) + GGUFBuilder.bytes(UInt64(1)) + GGUFBuilder.bytes(Float(-2)))
        builder.key(
            "texts", type: 9,
            GGUFBuilder.bytes(UInt32(8)) + GGUFBuilder.bytes(UInt64(2)) + GGUFBuilder.bytes("é")
                + GGUFBuilder.bytes(""))
        let file = try Self.open(builder)
        #expect(file.metadata.int("a.count") == 7)
        #expect(file.metadata.double("f") == 1.5)
        #expect(file.metadata.bool("b") == true)
        #expect(file.metadata.int("i8") == -1)
        #expect(file.metadata["u64"] == .uint(.max))
        #expect(file.metadata["raw"] == .string([0xC3, 0x28]))
        #expect(file.metadata.ints("ints") == [1, -1])
        #expect(file.metadata.doubles("floats") == [-2])
        #expect(file.metadata.strings("texts") == [Array("é".utf8), []])
        #expect(file.tensors.map(\.name) == ["m", "v"])
        #expect(file.tensors[0].shape == [3, 32])
        #expect(file.tensors[0].bytes.count == 3 * 34)
        #expect(file.tensors[1].shape == [5])
    }

    /// Whatever prefix of a file is there, it is an error (or, past the last tensor's bytes, the whole
    /// file).
    @Test func everyTruncationIsAnError() throws {
        let bytes = Self.sample().file
        for length in 0..<bytes.count {
            #expect(try !Self.refusal(bytes: Array(bytes[..<length])).isEmpty, "\(length) bytes opened")
        }
    }

    @Test func namesTheFieldThatIsWrong() throws {
        func broken(_ change: (inout GGUFBuilder) -> Void) throws -> String {
            var builder = Self.sample()
            change(&builder)
            return try Self.refusal(builder)
        }
        #expect(try broken { $0.version = 1 }.contains("version"))
        #expect(try broken { $0.version = UInt32(3).byteSwapped }.contains("big-endian"))
        #expect(try broken { $0.tensorCount = .max }.contains("tensor count"))
        #expect(try broken { $0.keyCount = 1 << 40 }.contains("metadata key count"))
        #expect(try broken { $0.key("a.count", 8) }.contains("a.count: the key occurs twice"))
        #expect(try broken { $0.key("b", type: 7, [2]) }.contains("boolean"))
        #expect(try broken { $0.key("t", type: 77, [0]) }.contains("metadata t: type"))
        #expect(try broken { $0.key("general.alignment", 48) }.contains("general.alignment"))
        #expect(try broken { $0.key("s", type: 8, GGUFBuilder.bytes(UInt64.max)) }.contains("metadata s"))
        #expect(
            try broken {
                $0.key("l", type: 9, GGUFBuilder.bytes(UInt32(0)) + GGUFBuilder.bytes(UInt64(1) << 62))
            }.contains("metadata l: array length"))
        #expect(try broken { $0.tensors[1].name = "m" }.contains("tensor m: the name occurs twice"))
        #expect(
            try broken { $0.tensors[1].type = 21 }.contains(
                "tensor v: type: tensor type 21 is not supported"))
        #expect(try broken { $0.tensors[0].dimensions = [31, 3] }.contains("not whole blocks"))
        #expect(try broken { $0.tensors[0].dimensions = [32, 0] }.contains("dimension 1"))
        #expect(try broken { $0.tensors[0].dimensions = [32, 1 << 62] }.contains("dimension 1"))
        #expect(try broken { $0.tensors[0].dimensions = [1, 1, 1, 1, 1] }.contains("dimension count"))
        #expect(try broken { $0.tensors[1].offset = 33 }.contains("alignment"))
        #expect(try broken { $0.tensors[1].offset = 32 }.contains("tensor v: offset: overlaps tensor m"))
        #expect(try broken { $0.tensors[1].offset = 1 << 63 }.contains("tensor v: offset"))
        #expect(try broken { $0.tensors[1].dimensions = [6] }.contains("cut off"))
    }

    @Test func nestedArraysHaveAFloor() throws {
        var builder = Self.sample()
        let one = GGUFBuilder.bytes(UInt32(9)) + GGUFBuilder.bytes(UInt64(1))
        builder.key(
            "deep", type: 9,
            (0..<50).flatMap { _ in one } + GGUFBuilder.bytes(UInt32(0)) + GGUFBuilder.bytes(UInt64(0)))
        #expect(try Self.refusal(builder).contains("nested"))
    }

    @Test func joinsSplitFiles() throws {
        func part(_ number: Int, _ name: String) -> [UInt8] {
            var builder = GGUFBuilder()
            builder.key("split.no", type: 2, GGUFBuilder.bytes(UInt16(number)))
            builder.key("split.count", type: 2, GGUFBuilder.bytes(UInt16(2)))
            builder.key("split.tensors.count", type: 5, GGUFBuilder.bytes(Int32(2)))
            builder.tensor(name, [4], type: 0, byteCount: 16)
            return builder.file
        }
        let folder = try ScratchFolder()
        let first = try folder.write("m-00001-of-00002.gguf", part(0, "a"))
        #expect(throws: ModelError.self) { try GGUFFile(path: first) }
        let second = try folder.write("m-00002-of-00002.gguf", part(1, "b"))
        #expect(try GGUFFile(path: first).tensors.map(\.name) == ["a", "b"])
        #expect(throws: ModelError.self) { try GGUFFile(path: second) }
        try folder.write("m-00002-of-00002.gguf", part(1, "a"))
        #expect(throws: ModelError.self) { try GGUFFile(path: first) }
    }

    @Test func whatIsNotAFileIsAnError() throws {
        let folder = try ScratchFolder()
        #expect(throws: ModelError.self) { try GGUFFile(path: folder.path) }
        #expect(throws: ModelError.self) { try GGUFFile(path: folder.path + "/absent.gguf") }
        #expect(try Self.refusal(bytes: []).contains("magic"))
    }
}
