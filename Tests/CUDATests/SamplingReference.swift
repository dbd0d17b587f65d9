import Foundation
import JSON
import Testing

@testable import Worker

/// Cases of sampling/*.json: expected probabilities of logits under parameters.
struct SamplingCase: Sendable, CustomTestStringConvertible {
    var name: String
    var logits: [Float]
    /// How far the float32 logits are from the decimals that the reference computed with.
    var rounding: Double
    var parameters: SamplingParameters
    var prompt: [Int32]
    var output: [Int32]
    var probabilities: [Double]
    /// Equal logits straddle a cut: which of them stay is open.
    var hasTies: Bool
    var argmax: Int

    var testDescription: String { name }

    static let all: [SamplingCase] = {
        var found: [SamplingCase] = []
        for root in TableTests.folders.map({ $0.deletingLastPathComponent() }) {
            let file = root.appending(path: "sampling/sampling.json")
            guard let data = try? Data(contentsOf: file), let json = try? JSON(parsing: [UInt8](data)) else { continue }
            for (number, record) in (json["cases"]?.array ?? []).enumerated() {
                if let example = read(record, json["logits"], "\(root.lastPathComponent) #\(number)") {
                    found.append(example)
                }
            }
        }
        return found
    }()

    private static func read(_ record: JSON, _ logits: JSON?, _ name: String) -> SamplingCase? {
        guard let row = record["logits"]?.string, let values = logits?[row]?.array,
            let fields = record["params"]?.object, let probabilities = record["probs"]?.array
        else { return nil }
        var parameters = SamplingParameters()
        for (field, value) in fields.members {
            switch field {
            case "temperature": parameters.temperature = value.double ?? .nan
            case "top_p": parameters.topP = value.double ?? .nan
            case "top_k": parameters.topK = max(0, value.int ?? 0)
            case "min_p": parameters.minP = value.double ?? .nan
            case "repetition_penalty": parameters.repetitionPenalty = value.double ?? .nan
            case "presence_penalty": parameters.presencePenalty = value.double ?? .nan
            case "frequency_penalty": parameters.frequencyPenalty = value.double ?? .nan
            case "logit_bias":
                parameters.logitBias = (value.object?.members ?? []).compactMap { id, bias in
                    Int32(id).map { SamplingParameters.Bias(token: $0, value: bias.double ?? .nan) }
                }
            default: return nil
            }
        }
        func ids(_ field: String) -> [Int32] { (record[field]?.array ?? []).compactMap { $0.int.map(Int32.init) } }
        return SamplingCase(
            name: "\(name) \(row) \(record["params"]?.text ?? "")",
            logits: values.map { Float($0.double ?? -.infinity) },
            rounding: values.map { abs(Double(Float($0.double ?? 0)) - ($0.double ?? 0)) }.max() ?? 0,
            parameters: parameters, prompt: ids("prompt_ids"), output: ids("output_ids"),
            probabilities: probabilities.map { $0.double ?? .nan }, hasTies: record["tie_or_edge"]?.bool ?? false,
            argmax: record["argmax"]?.int ?? -1)
    }

    var adjustments: TokenAdjustments {
        var adjustments = TokenAdjustments(parameters, prompt: prompt)
        for (i, token) in output.enumerated() { adjustments.append(token, output: Array(output[...i])) }
        return adjustments
    }
}
