import Foundation
import JSON
import Kernels
import Testing

/// Blocks of every tensor type against values dequantised by gguf-py: `quant/TYPE.blocks.bin`, `quant/TYPE.f32`.
@Suite struct QuantReferenceTests {
    static let folder: URL? = {
        let given = ProcessInfo.processInfo.environment["MILLRACE_REFERENCE"]
        let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let root = given.map { URL(filePath: $0) } ?? checkout.appending(path: "../shared/reference")
        let quant = root.appending(path: "quant")
        return FileManager.default.fileExists(atPath: quant.path) ? quant : nil
    }()

    /// Stored files and the type each holds, whatever is there.
    static let files: [(file: URL, type: TensorType)] = {
        guard let folder, let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else {
            return []
        }
        return names.sorted().filter { $0.hasSuffix(".bin") }.compactMap { name in
            let type = name.prefix { $0 != "." }
            return TensorType.allCases.first { $0.name == type }.map { (folder.appending(path: name), $0) }
        }
    }()

    @Test(.enabled(if: folder != nil, "no quant/ folder: set MILLRACE_REFERENCE"))
    func everyTypeIsThere() {
        #expect(!Self.files.isEmpty)
    }

    @Test(.enabled(if: folder != nil, "no quant/ folder: set MILLRACE_REFERENCE"), arguments: files)
    func blocksDequantize(_ file: URL, _ type: TensorType) throws {
        let stored = [UInt8](try Data(contentsOf: file))
        let name = file.lastPathComponent.prefix { $0 != "." }
        let expected = try Data(contentsOf: file.deletingLastPathComponent().appending(path: "\(name).f32"))
            .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let count = stored.count / type.blockBytes * type.blockElements
        try #require(count == expected.count)
        let values = stored.withUnsafeBytes { type.dequantize($0, count: count) }
        for (index, (value, reference)) in zip(values, expected).enumerated() {
            let close =
                value == reference || (value.isNaN && reference.isNaN)
                || abs(value - reference) <= 1e-6 * abs(reference)
            try #require(close, "\(type.name)[\(index)]: \(value) where gguf-py gives \(reference)")
        }
    }
}
