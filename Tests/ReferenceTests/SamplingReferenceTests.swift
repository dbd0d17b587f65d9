import Foundation
import JSON
import Testing

@testable import Worker

/// Every case of every file in sampling/: probabilities within 1e-6, the same support, the same most likely
/// token.
@Suite struct SamplingReferenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var logits: [Float]
        /// How far the float32 logits are from the decimals that the reference computed with.
        var rounding: Double
        var parameters: SamplingParameters
        var prompt: [Int32]
        var output: [Int32]
        var probabilities: [Double]
        var support: Set<Int>
        var argmax: Int
        /// Equal logits straddle a cut: which of them stay is open.
        var hasTies: Bool

        var testDescription: String { name }
    }

    static let files = ReferenceFolder.entries("sampling").filter { $0.pathExtension == "json" }

    static let cases: [Case] = files.flatMap { file -> [Case] in
        guard let json = try? ReferenceFolder.json(file) else { return [] }
        return (json["cases"]?.array ?? []).enumerated().compactMap { number, record in
            read(record, logits: json["logits"], name: "\(file.lastPathComponent) #\(number)")
        }
    }

    static func read(_ record: JSON, logits: JSON?, name: String) -> Case? {
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
        return Case(
            name: "\(name) \(row) \(record["params"]?.text ?? "")",
            logits: values.map { Float($0.double ?? -.infinity) },
            rounding: values.map { abs(Double(Float($0.double ?? 0)) - ($0.double ?? 0)) }.max() ?? 0,
            parameters: parameters,
            prompt: record["prompt_ids"]?.ids ?? [], output: record["output_ids"]?.ids ?? [],
            probabilities: probabilities.map { $0.double ?? .nan },
            support: Set((record["support"]?.array ?? []).compactMap(\.int)),
            argmax: record["argmax"]?.int ?? -1,
            hasTies: record["tie_or_edge"]?.bool ?? false)
    }

    @Test(
        .enabled(
            if: !cases.isEmpty, "no sampling/*.json in MILLRACE_REFERENCE, ../shared/reference or Fixtures"),
        arguments: cases)
    func distributionIsTheReferences(_ example: Case) throws {
        var adjustments = TokenAdjustments(example.parameters, prompt: example.prompt)
        for (i, token) in example.output.enumerated() {
            adjustments.append(token, output: Array(example.output[...i]))
        }
        var sampler = Sampler()
        func distribution(_ parameters: SamplingParameters) throws -> [Double] {
            var logits = example.logits
            var row = logits.mutableSpan
            return try sampler.distribution(
                &row, parameters, adjustments: adjustments, generated: example.output.count)
        }
        var (found, expected) = (try distribution(example.parameters), example.probabilities)
        let support = Set(found.indices.filter { found[$0] > 0 })
        #expect(found.count == expected.count)
        if example.hasTies {
            // Tied tokens are interchangeable: compare what is left, not who.
            found.sort()
            expected.sort()
            #expect(support.count == example.support.count)
        } else {
            #expect(support == example.support)
        }
        let temperature = example.parameters.temperature
        for (a, b) in zip(found, expected) {
            // An error of d in two logits moves p by up to p (1 - p) 2 d / temperature.
            let inputs = example.parameters.isGreedy ? 0 : b * (1 - b) * 2 * example.rounding / temperature
            #expect(abs(a - b) <= 1e-6 + inputs)
        }
        var greedy = example.parameters
        greedy.temperature = 0
        #expect(try distribution(greedy)[example.argmax] == 1)
    }

    @Test(
        .enabled(
            if: !files.isEmpty, "no sampling/*.json in MILLRACE_REFERENCE, ../shared/reference or Fixtures"))
    func everyCaseIsUnderstood() throws {
        let total = try Self.files.reduce(0) {
            try $0 + (ReferenceFolder.json($1)["cases"]?.array?.count ?? 0)
        }
        #expect(Self.cases.count == total)
    }
}
