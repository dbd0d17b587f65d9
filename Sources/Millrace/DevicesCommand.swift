import ArgumentParser
import JSON
import Kernels

/// `millrace devices`
struct DevicesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices", abstract: "List what models can run on, and what is missing for GPUs.",
        discussion: "Exit codes: 0 always, also where there is no GPU; 64 wrong usage.")

    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        let report = DeviceReport()
        print(json ? report.json.text : report.text)
    }
}

/// The CPU's paths, the GPUs, and the libraries that GPUs need.
private struct DeviceReport {
    private let sets = CPUFeatures.available
    private let libraries = CUDALibraries().survey()
    private let gpus: [CUDAProperties]
    private let failure: String?

    init() {
        do {
            gpus = try CUDADriver.devices()
            failure = nil
        } catch {
            gpus = []
            failure = "\(error)"
        }
    }

    var text: String {
        var lines = [
            "cpu     \(CPUFeatures.onlineCPUs) threads; kernels: \(sets.map { "\($0)" }.joined(separator: ", "))"
        ]
        for gpu in gpus {
            let driver = "\(gpu.driverVersion / 1000).\(gpu.driverVersion % 1000 / 10)"
            lines.append(
                "cuda:\(gpu.ordinal)  \(gpu.name), \(gpu.totalBytes >> 20) MiB, compute capability "
                    + "\(gpu.major).\(gpu.minor), driver for CUDA \(driver)")
        }
        if gpus.isEmpty { lines.append("cuda    none: \(failure ?? "the driver sees no GPU")") }
        for (name, finding) in libraries {
            switch finding {
            case .found(let path): lines.append("        \(name.rawValue): \(path)")
            case .missing(let reason): lines.append("        \(reason)")
            }
        }
        return lines.joined(separator: "\n")
    }

    var json: JSON {
        [
            "cpu": [
                "threads": .int(Int64(CPUFeatures.onlineCPUs)), "kernels": .array(sets.map { .string("\($0)") }),
            ],
            "cuda": .array(
                gpus.map { gpu in
                    [
                        "device": .string("cuda:\(gpu.ordinal)"), "name": .string(gpu.name),
                        "memory_bytes": .int(Int64(gpu.totalBytes)),
                        "compute_capability": .string("\(gpu.major).\(gpu.minor)"),
                        "driver_version": .int(Int64(gpu.driverVersion)),
                    ]
                }),
            "problem": failure.map { .string($0) } ?? nil,
            "libraries": .object(JSONObject(libraries.map { ($0.rawValue, Self.json($1)) })),
        ]
    }

    private static func json(_ finding: CUDALibraries.Finding) -> JSON {
        switch finding {
        case .found(let path): ["path": .string(path)]
        case .missing(let reason): ["missing": .string(reason)]
        }
    }
}
