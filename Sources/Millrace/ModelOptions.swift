import ArgumentParser
import Foundation
import Kernels
import Models
import Worker

/// How a model is put on this machine; the same for every command that loads one.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the model runs: cpu, or a GPU as cuda:0 (see 'millrace devices').", valueName: "name"))
    var device = DeviceChoice.cpu

    @Option(
        help: ArgumentHelp(
            "Numbers that matrix products and the KV cache round to: float32, bfloat16, or auto.", valueName: "type"))
    var dtype = "auto"

    @Option(
        help: ArgumentHelp(
            "How weights are kept: widened to bfloat16; stored, those of quantised files as small numbers (on a CPU "
                + "the same results, and faster for up to 8 sequences); int8, on a CPU with AVX-512 VNNI, rounded "
                + "(faster, less exact); auto: on a CPU stored for few requests or where memory is short, else "
                + "widened.",
            valueName: "form"))
    var weights = WeightForm.auto

    @Option(help: ArgumentHelp("Threads for the kernels (default: one for each CPU).", valueName: "n"))
    var threads: Int?

    @Option(
        help: ArgumentHelp(
            "Memory for the KV cache, as 512MiB or 2GiB (default: 1GiB; most of what is left on a GPU).",
            valueName: "size"))
    var kvCache: ByteSize?

    @Option(
        help: ArgumentHelp(
            "What the KV cache holds: auto, or with half the memory and a little less exact int8 (CPU) or fp8 (GPU).",
            valueName: "type"))
    var kvCacheDtype = "auto"

    @Option(help: ArgumentHelp("Cap on prompt and completion together, in tokens.", valueName: "tokens"))
    var maxModelLen: Int?

    func validate() throws {
        if dtype != "auto", ComputeType(rawValue: dtype) == nil {
            throw ValidationError("--dtype '\(dtype)' is not one of auto, float32, bfloat16")
        }
        if kvCacheDtype != "auto", CacheType(rawValue: kvCacheDtype) == nil {
            throw ValidationError("--kv-cache-dtype '\(kvCacheDtype)' is not one of auto, float32, bfloat16, int8, fp8")
        }
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads) is not from 1 to 1024")
        }
        if let maxModelLen, maxModelLen < 2 { throw ValidationError("--max-model-len \(maxModelLen) is below 2") }
    }

    var settings: LocalModel.Settings {
        var settings = LocalModel.Settings()
        settings.device = device
        settings.weights = weights
        settings.computeType = ComputeType(rawValue: dtype)
        settings.cacheType = CacheType(rawValue: kvCacheDtype)
        settings.threads = threads
        settings.cacheBytes = kvCache?.bytes
        settings.maxContext = maxModelLen
        return settings
    }

    /// What responses call a model: its name, or the last part of its path without ".gguf".
    static func shortName(_ model: String) -> String {
        let last = URL(filePath: model).lastPathComponent
        return last.hasSuffix(".gguf") ? String(last.dropLast(".gguf".count)) : last
    }

    /// A path, or the name of a fetched model.
    static func resolve(_ model: String) throws -> String {
        try ModelName.resolve(model, environment: ProcessInfo.processInfo.environment)
    }
}

extension WeightForm: ExpressibleByArgument {}

extension DeviceChoice: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }

    public var defaultValueDescription: String { name }
}

/// A number of bytes as people write it: 1073741824, 512MiB, 2GiB, 1.5GB.
struct ByteSize: ExpressibleByArgument {
    var bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let units: [(String, Double)] = [
            ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("tib", 0x1p40), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9),
            ("tb", 1e12), ("k", 0x1p10), ("m", 0x1p20), ("g", 0x1p30), ("t", 0x1p40), ("b", 1), ("", 1),
        ]
        let text = argument.lowercased()
        guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }) else { return nil }
        let number = text.dropLast(unit.count)
        guard let value = Double(number), value > 0, value * factor <= 0x1p60 else { return nil }
        bytes = Int(value * factor)
    }

    var defaultValueDescription: String {
        bytes % (1 << 30) == 0 ? "\(bytes >> 30)GiB" : "\(bytes)"
    }
}
