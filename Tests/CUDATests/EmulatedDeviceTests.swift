import DeviceChecks
import Foundation
import Kernels
import Models
import Testing

/// The whole CUDA device, from the seam that models use down to the kernels, on the emulation; against the CPU's.
@Suite(.serialized) struct EmulatedDeviceTests {
    /// Heads that the emulation has instances of.
    static let heads = [
        AttentionHeads(8, over: 2, width: 128), AttentionHeads(3, over: 3, width: 16),
        AttentionHeads(4, over: 2, width: 16), AttentionHeads(4, over: 2, width: 20),
    ]

    @Test(arguments: [(ComputeType.bfloat16, false), (.bfloat16, true), (.float32, false)])
    func computesWhatTheCPUComputes(type: ComputeType, keepsQuantised: Bool) throws {
        let device = CUDADevice(
            EmulatedRuntime(), computeType: type, graphs: false, keepsQuantised: keepsQuantised)
        for result in try KernelChecks.run(device, seed: 3, large: false, heads: Self.heads) {
            #expect(result.passed, "\(result.name): \(result.error) is above \(result.tolerance)")
        }
    }

    /// A mixture is never taken for an earlier one, whose weights are gone.
    @Test func mixturesComeAndGo() throws {
        let device = CUDADevice(EmulatedRuntime(), graphs: false)
        for result in try KernelChecks.runMixtures(device, seed: 5, count: 30) {
            #expect(result.passed, "\(result.name): \(result.error) is above \(result.tolerance)")
        }
    }

    static let tinyModels: [String] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/tiny")
        return ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).sorted().map {
            folder.appending(path: $0).path
        }
    }()

    /// Every family: norms, biases, windows, caps, mixtures, learned positions.
    @Test(arguments: tinyModels)
    func runsWholeModels(_ path: String) throws {
        let model = try load(path, on: CUDADevice(EmulatedRuntime()))
        let cpu = try load(path, on: CPUDevice(computeType: .bfloat16, threads: 1))
        let tokens = (0..<40).map { Int32(($0 * 37 + 5) % model.shape.vocabulary) }
        let comparison = LogitComparison(
            found: try ModelSteps(model.runner, positions: 48).runAll(tokens),
            expected: try ModelSteps(cpu.runner, positions: 48).runAll(tokens))
        #expect(comparison.passes, "\(path): \(comparison)")
    }

    /// Without rounding, nothing but the order of sums is between the two.
    @Test(arguments: tinyModels)
    func runsWholeModelsInFloat32(_ path: String) throws {
        let device = CUDADevice(EmulatedRuntime(), computeType: .float32)
        guard !path.contains("mixtral") else {
            let model = try load(path, on: device)
            #expect(throws: DeviceError.self) { try ModelSteps(model.runner, positions: 48).runAll([1, 2, 3]) }
            return
        }
        let model = try load(path, on: device)
        let cpu = try load(path, on: CPUDevice(computeType: .float32, threads: 1))
        let tokens = (0..<40).map { Int32(($0 * 37 + 5) % model.shape.vocabulary) }
        let comparison = LogitComparison(
            found: try ModelSteps(model.runner, positions: 48).runAll(tokens),
            expected: try ModelSteps(cpu.runner, positions: 48).runAll(tokens))
        #expect(comparison.worst < 2e-5, "\(path): \(comparison)")
        for (how, differences) in try InvarianceChecks.run(
            ModelSteps(model.runner, positions: 48), length: 40, seed: 9)
        {
            #expect(differences == 0, "\(path), \(how): \(differences) differ")
        }
    }

    /// I8, with steps that are recorded and replayed among them.
    @Test(arguments: tinyModels)
    func resultsDoNotDependOnCompany(_ path: String) throws {
        let model = try load(path, on: CUDADevice(EmulatedRuntime()))
        let found = try InvarianceChecks.run(ModelSteps(model.runner, positions: 48), length: 40, seed: 9)
        #expect(found.count >= 10)
        for (how, differences) in found { #expect(differences == 0, "\(path), \(how): \(differences) differ") }
    }

    /// An 8-bit cache: near the CPU's bfloat16 one, and I8 as ever.
    @Test(arguments: tinyModels)
    func narrowCaches(_ path: String) throws {
        let wide = CUDADevice(EmulatedRuntime())
        let narrow = CUDADevice(EmulatedRuntime(), cacheType: .fp8)
        let shape = CacheShape(layers: 3, keyValueHeads: 2, headWidth: 16, blockCount: 5)
        #expect(2 * narrow.cacheBlockBytes(shape) == wide.cacheBlockBytes(shape))
        let model = try load(path, on: narrow)
        let cpu = try load(path, on: CPUDevice(computeType: .bfloat16, threads: 1))
        let tokens = (0..<40).map { Int32(($0 * 37 + 5) % model.shape.vocabulary) }
        let comparison = LogitComparison(
            found: try ModelSteps(model.runner, positions: 48).runAll(tokens),
            expected: try ModelSteps(cpu.runner, positions: 48).runAll(tokens))
        // Three bits of mantissa: keys and values are off by up to 6%, of which random weights make much.
        #expect(comparison.mean < 0.3, "\(path): \(comparison)")
        #expect(comparison.mean > 0, "\(path): the cache is not narrow")
        for (how, differences) in try InvarianceChecks.run(
            ModelSteps(model.runner, positions: 48), length: 40, seed: 9)
        {
            #expect(differences == 0, "\(path), \(how): \(differences) differ")
        }
    }

    private func load(_ path: String, on device: some Device) throws -> LoadedModel {
        try ModelLoader.load(path: path, on: device, budget: .blocks(3 * 24), maxRows: 128, maxLogitRows: 64)
    }
}
