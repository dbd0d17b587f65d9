@preconcurrency import Dispatch
import Foundation
import JobQueue
import Logging
import Worker

/// One process of a chaos scenario (Tests/Chaos): a real worker over a fake model, a submitter or a canceller, whose
/// calls are witnessed. Exits with 75 when the store could not be reached: the caller may try again.
///
///     ChaosNode worker    QUEUE WITNESS NAME LEASE_MS STEP_US DRAIN_MS
///     ChaosNode submit    QUEUE WITNESS NAME KEY COUNT CHUNK MAX_ATTEMPTS [window=MS] [poison=ORDINAL,...] [tenant=T]
///     ChaosNode cancel    QUEUE WITNESS NAME BATCH
@main struct ChaosNode {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count >= 5 else { fail(64, "usage: ChaosNode COMMAND QUEUE WITNESS NAME ...") }
        do {
            let address = try QueueAddress(arguments[1])
            let witness = try Witness(path: arguments[2])
            let queue = WitnessQueue(try await address.open(), witness: witness, name: arguments[3])
            let rest = Array(arguments.dropFirst(4))
            switch arguments[0] {
            case "worker": try await work(queue, name: arguments[3], rest)
            case "submit": try await submit(queue, rest)
            case "cancel": try await queue.cancel(BatchID(rest[0]), at: now())
            default: fail(64, "no command \(arguments[0])")
            }
            try await queue.close()
        } catch JobQueueError.unavailable(let what) {
            fail(75, what)
        } catch {
            fail(1, "\(error)")
        }
    }

    private static func fail(_ status: Int32, _ what: String) -> Never {
        FileHandle.standardError.write(Data("ChaosNode: \(what)\n".utf8))
        exit(status)
    }

    private static func now() -> Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    // MARK: Working

    private static func work(_ queue: any JobQueue, name: String, _ arguments: [String]) async throws {
        guard arguments.count == 3, let leaseMs = Int64(arguments[0]), let stepUs = UInt32(arguments[1]),
            let drainMs = Int64(arguments[2])
        else { fail(64, "worker needs LEASE_MS STEP_US DRAIN_MS") }
        var settings = WorkerSettings.shared
        settings.leaseMs = leaseMs
        settings.recoverMs = leaseMs / 4
        settings.heartbeatMs = leaseMs
        settings.cancelCheckMs = 50
        settings.tickMs = 20
        settings.drainMs = drainMs
        let inbox = NativeWorker.Inbox()
        let engine = Engine()
        let shape = try await engine.start(
            Engine.Settings(maxSequences: 16), tokenizer: ByteTokenizer(), load: { FakeModel(stepUs: stepUs) },
            onEvent: inbox.receive)
        let intake = Intake(
            model: ServedModel(
                name: "echo", tokenizer: ByteTokenizer(), chat: nil, contextLength: shape.contextLength,
                vocabulary: shape.vocabulary))
        signal(SIGTERM, SIG_IGN)
        let stop = DispatchSource.makeSignalSource(signal: SIGTERM, queue: .global())
        stop.setEventHandler { inbox.stop() }
        stop.resume()
        var log = Logger(label: name)
        log.logLevel = .notice
        let worker = NativeWorker(
            settings,
            identity: WorkerIdentity(
                name: name, host: "chaos", processID: Int(getpid()), backend: "fake", startedAt: now()),
            inbox: inbox, queue: queue, engine: engine, intake: intake, now: now, log: log)
        _ = try await worker.run(.untilStopped)
        engine.stop()
        stop.cancel()
    }

    // MARK: Submitting

    private static func submit(_ queue: any JobQueue, _ arguments: [String]) async throws {
        guard arguments.count >= 4, let count = Int(arguments[1]), let chunk = Int(arguments[2]),
            let maxAttempts = Int(arguments[3])
        else { fail(64, "submit needs KEY COUNT CHUNK MAX_ATTEMPTS") }
        var specification = BatchSpecification(idempotencyKey: arguments[0], maxAttempts: maxAttempts)
        var poison: Set<Int> = []
        for option in arguments.dropFirst(4) {
            let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
            switch parts[0] {
            case "window": specification.completionWindowMs = Int64(parts[1])
            case "poison": poison = Set(parts[1].split(separator: ",").compactMap { Int($0) })
            case "tenant": specification.tenant = parts[1]
            default: fail(64, "submit has no option \(option)")
            }
        }
        let batch = try await queue.open(specification, at: now())
        for first in stride(from: 0, to: count, by: chunk) {
            let requests = (first..<min(first + chunk, count)).map { ordinal in
                AppendedRequest.accepted(request(ordinal, of: arguments[0], isPoison: poison.contains(ordinal)))
            }
            try await queue.append(requests, to: batch, from: first, at: now())
        }
        try await queue.seal(batch, total: count, at: now())
    }

    /// The checker knows what its response has to be: the last letter, `max_tokens` times.
    private static func request(_ ordinal: Int, of key: String, isPoison: Bool) -> Request {
        let letter = String(UnicodeScalar(UInt8(ascii: "a") + UInt8(ordinal % 26)))
        let maxTokens = 1 + ordinal % 5
        let prompt = "\(key)/\(ordinal) \(isPoison ? "!" : "")\(letter)"
        let body = """
            {"model":"echo","prompt":"\(prompt)","max_tokens":\(maxTokens),"temperature":0}
            """
        return Request(
            customID: "\(key)/\(ordinal)", endpoint: .completions, body: Array(body.utf8), line: ordinal + 1,
            model: "echo", cost: prompt.utf8.count + maxTokens)
    }
}
