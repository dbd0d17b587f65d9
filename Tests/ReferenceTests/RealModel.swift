import Foundation
import JSON
import Kernels
import Models

/// A real checkpoint that reference data names: `real/MODEL.VARIANT….json`.
enum RealModel {
    /// Where checkpoints are looked for: MILLRACE_MODELS, else the cache; Hugging Face folders also
    /// beside the data.
    static let folders: [URL] = {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"] ?? "/"
        let cache = environment["XDG_CACHE_HOME"] ?? home + "/.cache"
        let models = environment["MILLRACE_MODELS"] ?? cache + "/millrace/models"
        let beside = ReferenceFolder.roots.flatMap { [$0, $0.appending(path: "real")] }
        return ([URL(filePath: models)] + beside).filter(ReferenceFolder.isFolder)
    }()

    /// The checkpoint of a model: for a `gguf-…` variant a .gguf file whose name begins with the model's,
    /// for an `hf-…` variant a folder.
    static func path(_ model: String, variant: String) -> String? {
        for folder in folders {
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
                .sorted()
            for name in names where name.hasPrefix(model) {
                let url = folder.appending(path: name)
                if variant.hasPrefix("gguf") {
                    if name.hasSuffix(".gguf") { return url.path }
                } else if ReferenceFolder.exists(url.appending(path: "config.json")) {
                    return url.path
                }
            }
        }
        return nil
    }

    /// Loads onto the CPU; nil, with a line that says so, where the checkpoint is not on this machine.
    static func load(_ reference: JSON, _ computeType: ComputeType?, context: Int) throws
        -> LoadedModel?
    {
        let model = reference["model"]?.string ?? ""
        let variant = reference["variant"]?.string ?? ""
        guard let path = path(model, variant: variant) else {
            let places = folders.map(\.path).joined(separator: ", ")
            print("real \(model) \(variant): skipped: no such checkpoint in \(places)")
            return nil
        }
        return try ModelLoader.load(
            path: path, on: CPUDevice(computeType: computeType),
            budget: .blocks((context + 15) / 16),
            maxRows: 512)
    }

    /// float32 is held to the reference's logits, bfloat16 to its log-probabilities and perplexity.
    static let computeTypes: [ComputeType] = [.float32, .bfloat16]
}
