import Foundation

/// How a model keeps its weights.
package enum WeightForm: String, Sendable, CaseIterable {
    /// What suits the job and the machine: see `resolved`.
    case auto
    /// As products take them.
    case widened
    /// Quantised ones as the checkpoint has them; the same numbers in less memory.
    case stored
    /// CPU: rounded to int8, and products' inputs, too.
    case int8

    /// Sequences up to which reading fewer bytes gains more than widening them in every step costs: measured on
    /// AVX-512 with BF16, where 8 gain a tenth, and 16 lose one.
    private static let fewSequences = 8

    /// What `auto` stands for; anything else stands for itself.
    /// - Parameters:
    ///   - parameters: numbers the model has learned.
    ///   - hasBlocks: some are stored as small whole numbers.
    ///   - sequences: that will run at once at most.
    ///   - available: bytes of memory the host could give; nil: not known.
    /// - Returns: with what people should know, where memory decided.
    package func resolved(
        parameters: Int, hasBlocks: Bool, _ settings: LocalModel.Settings, sequences: Int, available: Int?
    ) -> (form: WeightForm, remark: String?) {
        guard self == .auto else { return (self, nil) }
        guard settings.device == .cpu, hasBlocks else { return (.widened, nil) }
        if sequences <= Self.fewSequences { return (.stored, nil) }
        let widened = parameters * (settings.computeType == .float32 ? 4 : 2)
        guard let available, widened > available / 10 * 8 else { return (.widened, nil) }
        func gibibytes(_ bytes: Int) -> String { String(format: "%.1f GiB", Double(bytes) / Double(1 << 30)) }
        return (
            .stored,
            "weights stay as they are stored: widened they would take \(gibibytes(widened)) of the "
                + "\(gibibytes(available)) that are free (--weights widened does it all the same)"
        )
    }
}

/// What Linux says of the host's memory.
package enum HostMemory {
    /// Bytes that programs could be given without swapping; nil where the system does not tell.
    package static var available: Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        return available(in: text)
    }

    /// From the text of /proc/meminfo, which counts in kibibytes.
    package static func available(in text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
        }
        return nil
    }
}
