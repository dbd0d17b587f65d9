import Foundation

/// Mutates valid checkpoints and opens them, for as long as it is told: the readers must return or throw,
/// never crash, hang, or take gigabytes.
///
///     swift run FuzzCheckpoint --seconds 60 --seed 1 --corpus Tests/Fixtures/corpus [--keep FOLDER]
///     [--case N]
///
/// A crash ends the process; the case that did it lies in the folder named at the start, and `--seed S
/// --case N` makes it again. `--keep` writes cases that end in a way not seen before.
@main struct FuzzCheckpoint {
    private struct Options {
        var seconds = 60.0
        var seed: UInt64 = 1
        var corpus = "Tests/Fixtures/corpus"
        var keep: String?
        var only: UInt64?
    }

    private let options: Options
    private let seeds: [FuzzCase]
    private let scratch: URL
    private var signatures: Set<String> = []
    private var opened = 0

    static func main() throws {
        // What a case may take: a hostile length that is believed runs into these.
        var memory = rlimit(rlim_cur: 4 << 30, rlim_max: 4 << 30)
        setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &memory)
        var fuzzer = try FuzzCheckpoint(parse(CommandLine.arguments.dropFirst()))
        try fuzzer.run()
    }

    private static func parse(_ arguments: ArraySlice<String>) throws -> Options {
        var options = Options()
        var rest = arguments
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { throw UsageError(problem: "\(name) needs a value") }
            switch name {
            case "--seconds": options.seconds = Double(value) ?? options.seconds
            case "--seed": options.seed = UInt64(value) ?? options.seed
            case "--corpus": options.corpus = value
            case "--keep": options.keep = value
            case "--case": options.only = UInt64(value)
            default: throw UsageError(problem: "\(name) is not an option")
            }
        }
        return options
    }

    private init(_ options: Options) throws {
        self.options = options
        seeds = try FuzzCase.all(in: options.corpus)
        guard !seeds.isEmpty else { throw UsageError(problem: "no cases in \(options.corpus)") }
        // In memory where there is such a place: on a disk the cases wait for it.
        let memory = URL(filePath: "/dev/shm")
        let place = access(memory.path, W_OK) == 0 ? memory : FileManager.default.temporaryDirectory
        scratch = place.appending(path: "fuzz-checkpoint-\(getpid())")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    }

    private mutating func run() throws {
        print("\(seeds.count) seeds; the case being tried lies in \(scratch.path)")
        for seed in seeds { signatures.insert(try outcome(seed)) }
        let deadline = Date(timeIntervalSinceNow: options.seconds)
        var number = options.only ?? 0
        while options.only != nil || Date() < deadline {
            // Every case follows from its number alone, so that it can be made again.
            var random = RandomSource(state: options.seed &* 0x9E37_79B9_7F4A_7C15 &+ number)
            var mutated = seeds[random.below(seeds.count)]
            mutated.mutate(&random)
            let signature = try outcome(mutated)
            if signatures.insert(signature).inserted { try keep(mutated, signature) }
            if options.only != nil { break }
            number += 1
        }
        print("\(number) cases, \(opened) opened, \(signatures.count) different outcomes, no crash")
        try FileManager.default.removeItem(at: scratch)
    }

    /// Tries a case; what became of it, without the numbers and names that differ from case to case.
    private mutating func outcome(_ attempt: FuzzCase) throws -> String {
        try attempt.write(into: scratch)
        alarm(30)
        let result = attempt.open(in: scratch)
        alarm(0)
        if result == nil { opened += 1 }
        let words: [Substring] = (result ?? "opens").split { !$0.isLetter }
        let summary: String = words.filter { $0.count > 3 }.prefix(3).joined(separator: " ")
        return "\(attempt.kind) \(summary)"
    }

    private func keep(_ found: FuzzCase, _ signature: String) throws {
        print("new: \(signature)")
        guard let folder = options.keep else { return }
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in signature.utf8 { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
        let file = URL(filePath: folder).appending(path: "found-\(String(hash, radix: 16)).\(found.kind)")
        try Data(found.bytes).write(to: file)
    }
}

private struct UsageError: Error, CustomStringConvertible {
    let problem: String
    var description: String {
        "\(problem)\nusage: FuzzCheckpoint [--seconds N] [--seed S] [--corpus DIR] [--keep DIR] [--case N]"
    }
}
