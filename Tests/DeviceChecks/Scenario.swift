import Kernels

/// One operation, or a few in the order of a forward pass, on random data; any device can run it.
protocol Scenario {
    var name: String { get }
    func run<D: Device>(_ checked: CheckedDevice<D>) throws -> [Float]
}

/// How far a device's result is from the CPU's.
package struct CheckResult: Sendable {
    package var name: String
    /// ‖a - b‖ / ‖b‖; infinite when a value is not a number.
    package var error: Double
    package var tolerance: Double
    package var passed: Bool { error <= tolerance }
}

package enum KernelChecks {
    /// Runs every scenario on `device` and on the CPU's kernels of the same type.
    /// - Parameters:
    ///   - large: adds sizes that take a GPU.
    ///   - heads: shapes of attention to try.
    package static func run(
        _ device: CUDADevice, seed: UInt64, large: Bool, heads: [AttentionHeads] = AttentionHeads.all
    ) throws -> [CheckResult] {
        var draws = RandomNumbers(seed: seed)
        let isFloat32 = device.computeType == .float32
        return try run(
            scenarios(&draws, large: large, heads: heads).filter { !(isFloat32 && $0 is MixtureScenario) }, on: device)
    }

    /// Mixtures of all sizes, one after another: each has matrices of its own, which may come to lie where those of the
    /// one before were.
    package static func runMixtures(_ device: CUDADevice, seed: UInt64, count: Int) throws -> [CheckResult] {
        var draws = RandomNumbers(seed: seed)
        return try run((0..<count).map { _ in mixture(&draws, experts: 2 + draws.below(8), large: false) }, on: device)
    }

    private static func run(_ scenarios: [any Scenario], on device: CUDADevice) throws -> [CheckResult] {
        let cpu = CheckedDevice(cpu: try CPUDevice(computeType: device.computeType))
        let cuda = CheckedDevice(cuda: device)
        let isFloat32 = device.computeType == .float32
        return try scenarios.map { scenario in
            let expected = try scenario.run(cpu)
            let found = try scenario.run(cuda)
            // Rounding to bfloat16 may fall the other way where sums are a bit apart; float32's sums differ in order.
            return CheckResult(
                name: scenario.name, error: distance(found, expected), tolerance: isFloat32 ? 1e-5 : 5e-3)
        }
    }

    static func distance(_ found: [Float], _ expected: [Float]) -> Double {
        precondition(found.count == expected.count)
        var (difference, norm) = (0.0, 0.0)
        for (a, b) in zip(found, expected) {
            difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
            norm += Double(b) * Double(b)
        }
        let error = norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
        return error.isNaN ? .infinity : error
    }
}
