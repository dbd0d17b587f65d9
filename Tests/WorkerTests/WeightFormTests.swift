import Testing

@testable import Worker

/// What `--weights auto` comes to.
@Suite struct WeightFormTests {
    private func resolved(
        _ form: WeightForm = .auto, hasBlocks: Bool = true, sequences: Int = 256, available: Int? = 8 << 30,
        _ change: (inout LocalModel.Settings) -> Void = { _ in }
    ) -> (form: WeightForm, remark: String?) {
        var settings = LocalModel.Settings()
        change(&settings)
        return form.resolved(
            parameters: 3 << 30, hasBlocks: hasBlocks, settings, sequences: sequences, available: available)
    }

    @Test func fewSequencesReadStoredWeights() {
        #expect(resolved(sequences: 8, available: 1 << 40) == (.stored, nil))
        #expect(resolved(sequences: 9, available: 1 << 40) == (.widened, nil))
        #expect(resolved(hasBlocks: false, sequences: 1) == (.widened, nil))
    }

    /// 3 Gi of weights are 6 GiB in bfloat16, 12 GiB in float32.
    @Test func weightsThatMemoryIsShortForStayStored() throws {
        #expect(resolved(available: 8 << 30) == (.widened, nil))
        #expect(resolved(available: nil) == (.widened, nil))
        let (form, remark) = resolved(available: 7 << 30)
        #expect(form == .stored)
        let text = try #require(remark)
        #expect(text.contains("6.0 GiB") && text.contains("7.0 GiB") && text.contains("--weights widened"))
        #expect(resolved(available: 8 << 30) { $0.computeType = .float32 }.form == .stored)
        #expect(resolved(hasBlocks: false, available: 1 << 30) == (.widened, nil))
    }

    @Test func aGPUWidens() {
        #expect(resolved(sequences: 1, available: 1 << 30) { $0.device = .cuda(0) } == (.widened, nil))
    }

    @Test(arguments: [WeightForm.widened, .stored, .int8]) func whatWasAskedForIsDone(_ form: WeightForm) {
        #expect(resolved(form, sequences: 1, available: 1) == (form, nil))
        #expect(resolved(form, sequences: 100, available: nil) == (form, nil))
    }

    @Test func whatLinuxSaysOfMemory() {
        #expect(HostMemory.available(in: "MemTotal: 9 kB\nMemAvailable:    1234 kB\n") == 1234 * 1024)
        #expect(HostMemory.available(in: "MemTotal: 9 kB\n") == nil)
        #expect(HostMemory.available(in: "MemAvailable: many kB\n") == nil)
        #expect(HostMemory.available ?? 0 > 1 << 20)
    }
}
