import Foundation
import JSON
import Models
import Testing

/// Tests/Fixtures/corpus: what the fuzzer starts from opens, what it found is refused or opens, and
/// nothing crashes.
@Suite struct CorpusTests {
    static let names: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: Fixtures.folder + "/corpus")) ?? []).sorted()

    @Test(arguments: names)
    func opensOrIsRefused(_ name: String) throws {
        let path = Fixtures.folder + "/corpus/" + name
        do {
            if name.hasSuffix(".gguf") {
                _ = try Checkpoint(path: path)
            } else if name.hasSuffix(".safetensors") {
                _ = try SafetensorsFile(path: path)
            } else {
                _ = try DecoderConfiguration(
                    huggingFace: JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: path)))))
            }
        } catch {
            #expect(!name.hasPrefix("valid-"), "\(name): \(error)")
            #expect(error is ModelError || error is JSONSyntaxError, "\(name): \(error)")
        }
    }

    @Test func theCorpusIsThere() { #expect(Self.names.contains("valid-llama.gguf")) }
}
