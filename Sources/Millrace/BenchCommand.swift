import ArgumentParser
import Bench
import Foundation
import JSON
import Kernels
import Models
import Worker

/// `millrace bench`
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure how fast this machine is, beside how fast it could be.",
        discussion: """
            Figures mean something on a machine that does nothing else. The machine's own peaks (multiplying in \
            registers, reading memory) are measured first, by the same threads; the floor of anything is the longer of \
            moving its bytes and doing its operations at these rates.
            """,
        subcommands: [BenchKernelsCommand.self, BenchStepCommand.self, BenchBatchCommand.self])
}

/// How a benchmark's findings are put out.
struct BenchOutput: ParsableArguments {
    @Flag(help: "Print JSON instead of the table.") var json = false

    @Option(help: ArgumentHelp("Also draw a plot into this file.", valueName: "file")) var svg: String?

    /// Prints the report, and writes the plot where one is wanted.
    func put(_ report: Report, plot: () -> Plot) throws {
        print(json ? report.json.text : report.text)
        guard let svg else { return }
        do {
            try Data(plot().svg.utf8).write(to: URL(filePath: svg))
        } catch {
            throw ValidationError("--svg \(svg): cannot be written: \(error.localizedDescription)")
        }
    }

    /// Says what is being measured, on standard error.
    func note(_ text: String) { if !json { ConsoleOutput.note(text) } }
}

/// A model's CPU, for benchmarks of the CPU's kernels.
struct BenchMachine: ParsableArguments {
    @Option(help: ArgumentHelp("A GGUF file, a folder, or the name of a fetched model.", valueName: "model"))
    var model = "smollm2"

    @Option(
        help: ArgumentHelp("Numbers that products round to: float32, bfloat16, or auto.", valueName: "type"))
    var dtype = "auto"

    @Option(
        help: ArgumentHelp(
            "How weights are kept: widened to what products round to, int8 (with AVX-512 VNNI), or, for steps, stored.",
            valueName: "form"))
    var weights = WeightForm.widened

    @Option(help: ArgumentHelp("Threads (default: one for each CPU).", valueName: "n")) var threads: Int?

    func validate() throws {
        if dtype != "auto", ComputeType(rawValue: dtype) == nil {
            throw ValidationError("--dtype '\(dtype)' is not one of auto, float32, bfloat16")
        }
        guard weights != .auto else {
            throw ValidationError("--weights auto chooses by the job; here it is widened, stored or int8")
        }
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads) is not from 1 to 1024")
        }
    }

    func open() throws -> (checkpoint: Checkpoint, device: CPUDevice, peaks: CPUPeaks) {
        let checkpoint = try Checkpoint(path: ModelOptions.resolve(model))
        let device = try CPUDevice(
            computeType: ComputeType(rawValue: dtype), threads: threads,
            quantizesWeights: weights == .int8, keepsQuantised: weights == .stored)
        return (checkpoint, device, try device.measurePeaks())
    }

    /// What a report says of the machine.
    static func facts(
        _ checkpoint: Checkpoint, _ device: CPUDevice, _ peaks: CPUPeaks
    ) -> [(name: String, value: JSON)] {
        [
            ("model", .string(checkpoint.name)), ("device", .string(device.description)),
            ("peak_float32_gflop_per_second", .double(peaks.float32 / 1e9)),
            ("peak_bfloat16_gflop_per_second", peaks.bfloat16.map { .double($0 / 1e9) } ?? nil),
            ("peak_int8_gop_per_second", peaks.int8.map { .double($0 / 1e9) } ?? nil),
            ("peak_read_gbyte_per_second", .double(peaks.bytesPerSecond / 1e9)),
        ]
    }

    static func title(_ checkpoint: Checkpoint, _ device: CPUDevice, _ peaks: CPUPeaks) -> String {
        func giga(_ value: Double) -> String { String(format: "%.1f", value / 1e9) }
        let wide = peaks.bfloat16.map { ", bfloat16 \(giga($0))" } ?? ""
        let narrow = peaks.int8.map { ", int8 \(giga($0))" } ?? ""
        return "\(checkpoint.name) on \(device.description); peaks: float32 \(giga(peaks.float32))\(wide)\(narrow) "
            + "GFLOP/s, reading \(giga(peaks.bytesPerSecond)) GB/s"
    }
}

/// `millrace bench kernels`
struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels", abstract: "Time a model's CPU kernels one by one, beside this machine's peaks.",
        discussion: "Weights are random and come from memory, as in a step. MILLRACE_ISA chooses the instruction set.")

    @OptionGroup var machine: BenchMachine
    @OptionGroup var output: BenchOutput

    func validate() throws {
        guard machine.weights != .stored else {
            throw ValidationError("--weights stored is for 'bench step': random weights are stored in no form")
        }
    }

    func run() throws {
        let (checkpoint, device, peaks) = try machine.open()
        let times = KernelTimes(checkpoint.configuration, on: device, peaks: peaks)
        var figures: [KernelTimes.Figure] = []
        try times.measure { figure in
            output.note("\(figure.kernel), \(figure.rows) rows")
            figures.append(figure)
        }
        var report = times.report(figures, facts: BenchMachine.facts(checkpoint, device, peaks))
        report.title = BenchMachine.title(checkpoint, device, peaks)
        try output.put(report) { times.plot(figures, title: "\(checkpoint.name), \(device.description)") }
    }
}

/// `millrace bench step`
struct BenchStepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "step", abstract: "Time decode steps of 1 to 256 sequences, beside their floor.")

    @Option(help: ArgumentHelp("Tokens that each sequence has.", valueName: "tokens")) var context = 200
    @OptionGroup var machine: BenchMachine
    @OptionGroup var output: BenchOutput

    func validate() throws {
        guard StepTimes.contexts.contains(context) else {
            throw ValidationError("--context \(context) is not from 1 to \(StepTimes.contexts.upperBound)")
        }
    }

    func run() throws {
        let (checkpoint, device, peaks) = try machine.open()
        let times = try StepTimes(
            checkpoint, on: device, peaks: peaks, context: context,
            maxLogitRows: DeviceChoice.cpu.maxLogitRows(vocabulary: checkpoint.configuration.vocabulary))
        var figures: [StepTimes.Figure] = []
        try times.measure { figure in
            output.note("\(figure.rows) sequences")
            figures.append(figure)
        }
        let facts = BenchMachine.facts(checkpoint, device, peaks) + [("context", JSON.int(Int64(context)))]
        var report = StepTimes.report(figures, facts: facts)
        report.title = BenchMachine.title(checkpoint, device, peaks) + "; contexts of \(context)"
        try output.put(report) {
            StepTimes.plot(figures, title: "\(checkpoint.name), decode steps, contexts of \(context)")
        }
    }
}
