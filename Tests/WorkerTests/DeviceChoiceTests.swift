import Kernels
import Testing
import Worker

/// How a device is opened with settings that not every device takes.
@Suite struct DeviceChoiceTests {
    private func settings(_ change: (inout LocalModel.Settings) -> Void) -> LocalModel.Settings {
        var settings = LocalModel.Settings()
        settings.threads = 1
        change(&settings)
        return settings
    }

    @Test func aCPUTakesInt8WeightsWhereItMultipliesBytes() throws {
        let wanted = settings { $0.weights = .int8 }
        guard try CPUFeatures.chosen().multipliesBytes else {
            #expect(throws: DeviceError.self) { try DeviceChoice.cpu.open(wanted) }
            return
        }
        let description = try DeviceChoice.cpu.open(wanted).description
        #expect(description.hasSuffix(", int8 weights"))
        #expect(try !DeviceChoice.cpu.open(settings { _ in }).description.contains("int8"))
    }

    @Test(arguments: [
        (DeviceChoice.cuda(0), "int8"), (.cpu, "--kv-cache-dtype"), (.cuda(0), "--dtype float32"),
        (.cuda(0), "--kv-cache-dtype float32"), (.cuda(0), "--kv-cache-dtype int8"),
    ])
    func whatADeviceDoesNotHaveIsRefusedByName(_ device: DeviceChoice, _ what: String) {
        let wanted = settings {
            if what == "int8" { $0.weights = .int8 }
            if what == "--dtype float32" { $0.weights = .stored }
            $0.computeType = what == "--dtype float32" ? .float32 : nil
            if what == "--kv-cache-dtype" { $0.cacheType = .fp8 }
            if what == "--kv-cache-dtype float32" { $0.cacheType = .float32 }
            if what == "--kv-cache-dtype int8" { $0.cacheType = .int8 }
        }
        #expect { try device.open(wanted) } throws: { "\($0)".contains(what) }
    }

    @Test func aStepHasARowForEverySequence() {
        for device in [DeviceChoice.cpu, .cuda(0)] {
            #expect(device.defaults.maxSequences <= device.defaults.maxBatchedTokens)
        }
    }
}
