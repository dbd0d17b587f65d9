import DeviceChecks
import Foundation
import JSON
import Kernels
import Models
import Testing

/// Whole models from GPTQ and AWQ checkpoints (Tests/Fixtures/groups) on the emulated device, beside the same weights
/// as a plain checkpoint.
@Suite(.serialized) struct GroupedModelTests {
    static let folder = TableTests.checkout.appending(path: "Tests/Fixtures/groups")
    static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted()
    static let tokens = (0..<80).map { Int32(($0 * 37 + 5) % 384) }

    private func load(_ path: String, on device: some Device) throws -> LoadedModel {
        try ModelLoader.load(path: path, on: device, budget: .blocks(3 * 24), maxRows: 128, maxLogitRows: 64)
    }

    private func path(_ name: String) -> String { Self.folder.appending(path: name).path }

    @Test func modelsAreFound() { #expect(Self.names.count >= 6) }

    @Test(arguments: names)
    func widenedModelsHaveThePlainOnesBits(_ name: String) throws {
        let device = CUDADevice(EmulatedRuntime())
        let model = try load(path(name), on: device)
        let plain = try load(path(name) + "/plain", on: CUDADevice(EmulatedRuntime()))
        let found = try ModelSteps(model.runner, positions: 80).runAll(Self.tokens)
        #expect(try found == ModelSteps(plain.runner, positions: 80).runAll(Self.tokens))
        #expect(found.allSatisfy { $0.allSatisfy { $0.isFinite } })
        #expect(model.remarks == [])
    }

    /// Weights that stay packed: few rows are multiplied by them directly, many by their widened form.
    @Test(arguments: names)
    func storedModelsComputeTheSame(_ name: String) throws {
        let runtime = EmulatedRuntime()
        let model = try load(path(name), on: CUDADevice(runtime, keepsQuantised: true))
        let plain = try load(path(name) + "/plain", on: CUDADevice(EmulatedRuntime()))
        for count in [80, 20] {
            let found = try ModelSteps(model.runner, positions: 80).runAll(Array(Self.tokens.prefix(count)))
            let expected = try ModelSteps(plain.runner, positions: 80).runAll(Array(Self.tokens.prefix(count)))
            if name.contains("-act-llama") {
                // Sums of reordered inputs have another order.
                let comparison = LogitComparison(found: found, expected: expected)
                #expect(comparison.mean < 1e-3 && comparison.passes, "\(comparison)")
            } else {
                #expect(found == expected)
            }
        }
        let launched = Set(runtime.launches.map { $0.split(separator: "_").prefix(3).joined(separator: "_") })
        let keeps = !name.contains("gemma")
        #expect(launched.contains("mr_repack_groups") == keeps)
        #expect(
            runtime.launches.contains {
                $0.hasPrefix("mr_gemm_quantized_") || $0.hasPrefix("mr_mixture_gate_up_") && $0.hasSuffix("_102")
            } == keeps)
        #expect(launched.contains("mr_widen_groups") == keeps)
        #expect(launched.contains("mr_reorder_inputs") == name.contains("-act-llama"))
        try checkRemarks(model.remarks, name)
    }

    private func checkRemarks(_ remarks: [String], _ name: String) throws {
        switch name {
        case "gptq-4bit-act-llama":
            // One layer's keys have an order of their own.
            let remark = try #require(remarks.first)
            #expect(remark.hasPrefix("1 quantised matri") && remark.contains("layers.1.self_attn.q_proj"))
        case "gptq-8bit-act-gemma":
            let remark = try #require(remarks.first)
            #expect(remark.hasPrefix("8 quantised matrices") && remark.contains("no multiples of 32"))
        default: #expect(remarks == [])
        }
    }

    @Test(arguments: names)
    func storedModelsContinueAsTheirReferences(_ name: String) throws {
        let reference = try JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: path(name) + "/reference.json"))))
        let model = try load(path(name), on: CUDADevice(EmulatedRuntime(), keepsQuantised: true))
        let plain = try load(path(name) + "/plain", on: CPUDevice(computeType: .bfloat16, threads: 1))
        for prompt in reference["prompts"]?.array ?? [] {
            let ids = try #require(prompt["ids"]?.array).compactMap { $0.int.map(Int32.init) }
            #expect(try greedy(model, ids, 8) == greedy(plain, ids, 8))
        }
    }

    private func greedy(_ model: LoadedModel, _ prompt: [Int32], _ count: Int) throws -> [Int32] {
        let steps = ModelSteps(model.runner, positions: prompt.count + count)
        var (row, chosen, start) = (prompt, [Int32](), 0)
        for _ in 0..<count {
            let logits = try steps.run(steps.batch([(0, row, start)]))[0]
            start += row.count
            row = [Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)]
            chosen += row
        }
        return chosen
    }

    /// I8, with steps that are recorded and replayed among them.
    @Test(arguments: ["gptq-4bit-act-llama", "awq-4bit-mistral", "gptq-4bit-mixtral"])
    func resultsDoNotDependOnCompany(_ name: String) throws {
        let model = try load(path(name), on: CUDADevice(EmulatedRuntime(), keepsQuantised: true))
        let found = try InvarianceChecks.run(ModelSteps(model.runner, positions: 48), length: 40, seed: 9)
        #expect(found.count >= 10)
        for (how, differences) in found { #expect(differences == 0, "\(name), \(how): \(differences) differ") }
    }
}
