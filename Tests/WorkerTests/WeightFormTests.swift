import Kernels
import Models
import Testing

@testable import Worker

/// What `--weights auto` comes to.
@Suite struct WeightFormTests {
    /// 3 Gi of weights are 6 GiB in bfloat16, 12 GiB in float32; and 1 GiB of KV cache.
    private func resolved(
        _ form: WeightForm = .auto, hasBlocks: Bool = true, sequences: Int = 256, type: ComputeType = .bfloat16,
        available: Int?
    ) -> (form: WeightForm, remark: String?) {
        form.resolved(
            WeightForm.Circumstances(
                parameters: 3 << 30, hasBlocks: hasBlocks, sequences: sequences, computeType: type,
                cacheBytes: 1 << 30, availableBytes: available))
    }

    @Test func fewSequencesReadStoredWeights() {
        #expect(resolved(sequences: 8, available: 1 << 40) == (.stored, nil))
        #expect(resolved(sequences: 9, available: 1 << 40) == (.widened, nil))
        #expect(resolved(hasBlocks: false, sequences: 1, available: nil) == (.widened, nil))
        #expect(resolved(sequences: 1, type: .float32, available: 1 << 40) == (.widened, nil))
    }

    @Test func weightsThatMemoryIsShortForStayStored() throws {
        #expect(resolved(available: 8 << 30) == (.widened, nil))
        #expect(resolved(available: nil) == (.widened, nil))
        let (form, remark) = resolved(available: 7 << 30)
        #expect(form == .stored)
        let text = try #require(remark)
        #expect(text.contains("7.0 GiB of the 7.0 GiB") && text.contains("--weights widened"))
        #expect(resolved(type: .float32, available: 8 << 30).form == .stored)
        #expect(resolved(hasBlocks: false, available: 1 << 30) == (.widened, nil))
    }

    @Test(arguments: [WeightForm.widened, .stored, .int8]) func whatWasAskedForIsDone(_ form: WeightForm) {
        #expect(resolved(form, sequences: 1, available: 1) == (form, nil))
        #expect(resolved(form, sequences: 100, available: nil) == (form, nil))
    }

    /// A checkpoint in float32: nothing to keep stored, on any device.
    @Test(arguments: [DeviceChoice.cpu, .cuda(0)]) func settingsLoseTheirAuto(_ device: DeviceChoice) throws {
        let path = EngineHarness.fixtures.appending(path: "tiny_gguf/llama-rope3-a.f32.gguf").path
        var settings = LocalModel.Settings()
        settings.device = device
        #expect(try settings.resolved(for: Checkpoint(path: path), sequences: 1).settings.weights == .widened)
    }

    @Test func aCPUKeepsWeightsStoredWhereThatIsAskedFor() throws {
        var settings = LocalModel.Settings()
        settings.weights = .stored
        #expect(try DeviceChoice.cpu.open(settings).description.contains("weights as stored"))
    }

    @Test func whatLinuxSaysOfMemory() {
        #expect(HostMemory.available(in: "MemTotal: 9 kB\nMemAvailable:    1234 kB\n") == 1234 * 1024)
        #expect(HostMemory.available(in: "MemTotal: 9 kB\n") == nil)
        #expect(HostMemory.available(in: "MemAvailable: many kB\n") == nil)
        #expect(HostMemory.groupPath(in: "1:name=systemd:/x\n0::/system.slice/a\n") == "/system.slice/a")
        #expect(HostMemory.groupPath(in: "") == nil)
        #expect(HostMemory.available ?? 0 > 1 << 20)
    }
}
