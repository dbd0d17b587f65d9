// swift-tools-version: 6.2
import PackageDescription

// Arrows point one way: Millrace -> Submitter, Worker -> JobQueue, Scheduler, Models -> Kernels -> System.
// Scheduler imports nothing but the standard library and swift-collections.

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let kernelFlags: [CSetting] = [.define("NDEBUG", .when(configuration: .release))]

let package = Package(
    name: "millrace",
    products: [.executable(name: "millrace", targets: ["Millrace"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // System: module maps and shims over C and C++ libraries, nothing else.
        .systemLibrary(name: "CPCRE2", path: "Sources/System/CPCRE2"),
        .systemLibrary(name: "CHiredis", path: "Sources/System/CHiredis"),
        .systemLibrary(name: "CCurl", path: "Sources/System/CCurl"),
        .target(name: "CCUDA", path: "Sources/System/CCUDA", cSettings: kernelFlags),
        // CUDA kernels, which the machine they run on compiles; here they are text.
        .target(name: "CUDASources", path: "Sources/System/CUDASources", cSettings: kernelFlags),
        .systemLibrary(name: "CNotify", path: "Sources/System/CNotify"),
        .systemLibrary(name: "CSecrets", path: "Sources/System/CSecrets"),
        .systemLibrary(name: "CTLS", path: "Sources/System/CTLS"),
        .target(name: "CTOML", path: "Sources/System/CTOML"),
        .target(
            name: "CSimdjson", path: "Sources/System/CSimdjson",
            linkerSettings: [.linkedLibrary("simdjson")]),

        .target(name: "JSON", dependencies: ["CSimdjson"], swiftSettings: strict),

        .target(name: "CKernels", path: "Sources/Kernels/CPU", cSettings: kernelFlags),
        .target(
            name: "Kernels", dependencies: ["CKernels", "CCUDA", "CUDASources"], path: "Sources/Kernels",
            exclude: ["CPU", "CUDA"], swiftSettings: strict),

        .target(
            name: "Models", dependencies: ["Kernels", "JSON", "CPCRE2"], swiftSettings: strict),

        .target(
            name: "Scheduler",
            dependencies: [
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
            ], swiftSettings: strict),

        .target(
            name: "JobQueue",
            dependencies: ["JSON", "CHiredis", "CTLS", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: strict),

        .target(
            name: "Worker",
            dependencies: [
                "JobQueue", "Scheduler", "Models", "Kernels", "JSON", "CCurl", "CNotify", "CSecrets", "CTOML",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),

        .target(
            name: "Submitter", dependencies: ["JobQueue", "JSON"], swiftSettings: strict),

        .executableTarget(
            name: "Millrace",
            dependencies: [
                "Submitter", "Worker", "JobQueue", "Scheduler", "Models", "Kernels", "JSON", "Bench",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        // What `millrace bench` measures and how it says it.
        .target(name: "Bench", dependencies: ["Kernels", "Models", "JSON"], swiftSettings: strict),

        // Times scheduling: bench/README.md.
        .executableTarget(
            name: "SchedulerBenchmark", dependencies: ["Scheduler"], path: "bench/scheduler", swiftSettings: strict,
            linkerSettings: [.linkedLibrary("m")]),

        // Not part of the product: `make fuzz` runs it.
        .executableTarget(
            name: "FuzzCheckpoint", dependencies: ["Models", "JSON"], path: "Tests/FuzzCheckpoint",
            swiftSettings: strict),
        .executableTarget(
            name: "QueueBenchmark", dependencies: ["JobQueue"], path: "bench/queue", exclude: ["peers"],
            swiftSettings: strict),

        // Times many transfers at once: bench/README.md.
        .executableTarget(
            name: "UpstreamBench", dependencies: ["Worker"], path: "bench/upstream",
            exclude: ["slow_server.py"], swiftSettings: strict),
        // How near the limits of a fake Groq can be come to: bench/README.md.
        .executableTarget(
            name: "LimitBench", dependencies: ["Worker", "JobQueue", "JSON"], path: "bench/limits", exclude: ["run"],
            swiftSettings: strict),

        // Killed at random moments by JobQueueTests.
        .executableTarget(
            name: "QueueCrashProbe", dependencies: ["JobQueue"], path: "Tests/QueueCrashProbe",
            swiftSettings: strict),

        // The processes of the chaos scenarios: Tests/Chaos/README.md.
        .executableTarget(
            name: "ChaosNode",
            dependencies: [
                "Worker", "JobQueue", "Models", "Kernels", .product(name: "Logging", package: "swift-log"),
            ], path: "Tests/ChaosNode", swiftSettings: strict),

        .testTarget(name: "TidyTests", swiftSettings: strict),
        // Runs a batch with a worker that echoes, for SubmitterTests to kill at random moments.
        .executableTarget(
            name: "EchoRun", dependencies: ["Submitter", "JobQueue", "JSON"], path: "Tests/EchoRun",
            swiftSettings: strict),
        .testTarget(
            name: "SubmitterTests", dependencies: ["Submitter", "JobQueue", "JSON", "EchoRun"],
            swiftSettings: strict),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        // Runs CUDA kernels without a device, from the same source.
        .target(
            name: "CUDAEmulation", path: "Tests/CUDAEmulation", exclude: ["probes.cu", "mistakes.cu"],
            cxxSettings: [
                .headerSearchPath("../../Sources/Kernels/CUDA"), .unsafeFlags(["-O2", "-ffp-contract=off"]),
            ]),
        // What a device has to compute, for the emulation and for a real one (GPUCheck).
        .target(
            name: "DeviceChecks", dependencies: ["Kernels", "Models"], path: "Tests/DeviceChecks", swiftSettings: strict),
        .executableTarget(
            name: "GPUCheck", dependencies: ["DeviceChecks", "JobQueue", "Kernels", "Models", "Scheduler", "Worker"],
            path: "Tests/GPUCheck", swiftSettings: strict),
        .testTarget(
            name: "CUDATests",
            dependencies: [
                "Kernels", "Models", "CUDAEmulation", "DeviceChecks", "JobQueue", "Scheduler", "Worker", "JSON",
            ],
            swiftSettings: strict),
        // Runs kernels for AMX without it, from the same source.
        .target(
            name: "TileEmulation", dependencies: ["CKernels"], path: "Tests/TileEmulation",
            cSettings: [.headerSearchPath("../../Sources/Kernels/CPU"), .headerSearchPath("."), .unsafeFlags(["-O3"])]),
        .testTarget(
            name: "KernelsTests", dependencies: ["Kernels", "CKernels", "DeviceChecks", "TileEmulation"],
            swiftSettings: strict),
        .testTarget(name: "ModelsTests", dependencies: ["Models", "Kernels", "JSON"], swiftSettings: strict),
        .testTarget(name: "SchedulerTests", dependencies: ["Scheduler"], swiftSettings: strict),
        .testTarget(name: "BenchTests", dependencies: ["Bench", "Kernels", "Models", "JSON"], swiftSettings: strict),
        // A redis-server for tests that want one.
        .target(name: "RedisServer", path: "Tests/RedisServer", swiftSettings: strict),
        .testTarget(
            name: "JobQueueTests",
            dependencies: [
                "JobQueue", "JSON", "QueueCrashProbe", "RedisServer", .product(name: "GRDB", package: "GRDB.swift"),
            ], swiftSettings: strict),
        .testTarget(name: "Conformance", dependencies: ["JobQueue", "RedisServer"], swiftSettings: strict),
        .testTarget(
            name: "WorkerTests",
            dependencies: [
                "Worker", "JobQueue", "Scheduler", "Models", "Kernels", "JSON",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        // The client of upstreams against Tests/FakeGroq, a server of their own.
        .testTarget(
            name: "UpstreamTests", dependencies: [
                "Worker", "Scheduler", "JobQueue", "Submitter", "JSON", "Millrace", "CCurl", "RedisServer",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ReferenceTests", dependencies: ["Worker", "Models", "Kernels", "JSON"],
            swiftSettings: strict),
        .testTarget(name: "EndToEndTests", dependencies: ["Millrace", "JSON", "RedisServer"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17,
    cxxLanguageStandard: .cxx17
)
