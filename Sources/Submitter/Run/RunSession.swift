import Foundation
import JobQueue
import Synchronization

/// One `millrace run`, from the input to the last result: submits the batch or finds the one that an earlier
/// run left, writes results while a worker makes them, and says what it came to.
package struct RunSession: Sendable {
    /// How the worker's part ended.
    package enum WorkEnd: Sendable { case finished, stopped }

    /// Leases and settles the batch's requests. Returns `.finished` when the batch is terminal and `.stopped`
    /// when told to stop before; throws when it cannot work at all. Cancelled when results cannot be written
    /// any more.
    package typealias Work = @Sendable (any JobQueue, BatchID) async throws -> WorkEnd
    /// Opens the store at a path, making it if it is not there.
    package typealias OpenQueue = @Sendable (_ path: String) async throws -> any JobQueue

    private let configuration: RunConfiguration
    private let clock: RunClock
    private let openQueue: OpenQueue

    private static let pollMs: Int64 = 50
    static let pageRecords = 500
    private static let longerThanAnyLeaseMs: Int64 = 366 * 86_400_000

    package init(_ configuration: RunConfiguration, clock: RunClock, openQueue: @escaping OpenQueue) {
        self.configuration = configuration
        self.clock = clock
        self.openQueue = openQueue
    }

    /// - Parameters:
    ///   - meter: tokens that the worker has computed in this process; for progress between results.
    ///   - work: not called when nothing is left to do.
    /// - Returns: what the batch came to; not finished when the worker was stopped.
    package func run(
        display: any ProgressDisplay, meter: (@Sendable () -> WorkMeter)? = nil, work: @escaping Work
    ) async throws(RunError) -> Summary {
        do {
            return try await runAll(display, meter, work)
        } catch {
            throw RunError(error)
        }
    }

    private func runAll(
        _ display: any ProgressDisplay, _ meter: (@Sendable () -> WorkMeter)?, _ work: @escaping Work
    ) async throws -> Summary {
        let startMs = clock.uptimeMs()
        let place = configuration.places
        // Faults that can be found are found before anything is made or removed.
        try place.check()
        try BatchInput.check(configuration.input)
        let folder = try stateFolder()
        if !configuration.restarts, !(folder.map(RunState.hasQueue) ?? false) {
            try place.refuseOverwriting(by: nil, ownsOutput: false)
        }
        let state = try RunState(folder: folder)
        let input = try BatchInput(
            path: configuration.input, format: configuration.format, spoolFolder: state.folder)
        try place.check(against: input)
        if configuration.restarts {
            // The output first: a kill in between leaves a state that the output can be made from again, and not an
            // output that no state knows.
            try place.empty()
            try state.removeQueue()
        }
        let queue = try await openQueue(state.queuePath)
        let identity = RunIdentity(input: input, defaults: configuration.defaults, model: configuration.model)
        let earlier = try await earlierBatch(identity, state, queue)
        if !configuration.restarts {
            try place.refuseOverwriting(by: earlier, ownsOutput: configuration.stateFolder == nil)
        }
        let batch: BatchID
        if let earlier {
            batch = earlier
            // The folder is this process's alone, so whoever has leases is dead. Nothing else is due that
            // late: a run's batch has no window.
            _ = try await queue.recover(at: clock.now() + Self.longerThanAnyLeaseMs)
        } else {
            batch = try await submit(input, identity, queue)
        }
        let isResumed = earlier != nil
        let start = try await queue.status(batch)
        let stored = RunIdentity(of: start)
        let file = try ResultFile(place, batch: batch, inputName: stored.displayedInput)
        var follower = ResultFollower(
            queue: queue, batch: batch, order: configuration.order, file: file, start: start,
            startMs: startMs)
        var status = try await follower.poll(clock, meter?())
        try file.endReplay()
        if isResumed, !status.state.isTerminal {
            display.note("going on: \(start.counts.settled) of \(start.counts.total) requests are done")
        }
        let wasComplete = isResumed && status.state.isTerminal
        if !status.state.isTerminal {
            status = try await follow(&follower, display, meter, queue, work)
        }
        try file.finish()
        return follower.summary(
            status, wasComplete: wasComplete, output: place.output, wallMs: clock.uptimeMs() - startMs)
    }

    private func stateFolder() throws -> String? {
        if let folder = configuration.stateFolder { return folder }
        let places = configuration.places
        return try places.isOutputRegular ? RunState.folder(for: places.output) : nil
    }

    /// The batch that an earlier run of the same command submitted.
    private func earlierBatch(
        _ identity: RunIdentity, _ state: RunState, _ queue: any JobQueue
    ) async throws -> BatchID? {
        // A submit that was cut off leaves a batch that was never accepted; nothing of it ran.
        let accepted = try await queue.list(limit: 100).first { $0.state != .validating }
        guard let accepted else { return nil }
        let differences = identity.differences(from: RunIdentity(of: accepted))
        guard differences.isEmpty else {
            throw RunError.changed(state: state.folder, differences: differences)
        }
        return accepted.id
    }

    private func submit(
        _ input: BatchInput, _ identity: RunIdentity, _ queue: any JobQueue
    ) async throws -> BatchID {
        let specification = BatchSpecification(
            idempotencyKey: identity.idempotencyKey, maxAttempts: configuration.maxAttempts,
            metadata: identity.entries)
        let batch = try await queue.open(specification, at: clock.now())
        let defaults = configuration.defaults.with("model", .string(configuration.model.name))
        try await BatchUpload(queue: queue, batch: batch, now: clock.now).send(
            input, defaults: defaults, lineBytesMax: configuration.lineBytesMax)
        return batch
    }

    /// Runs the worker and writes what it settles, until the batch is terminal or the worker has stopped.
    private func follow(
        _ follower: inout ResultFollower, _ display: any ProgressDisplay,
        _ meter: (@Sendable () -> WorkMeter)?, _ queue: any JobQueue, _ work: @escaping Work
    ) async throws -> BatchStatus {
        defer { display.end() }
        let isOver = Latch()
        let batch = follower.batch
        // When this function throws, the worker is cancelled and awaited.
        async let ending: Result<WorkEnd, any Error> = {
            defer { isOver.set() }
            do { return .success(try await work(queue, batch)) } catch { return .failure(error) }
        }()
        while true {
            // Asked before the poll, so that the last poll sees everything.
            let isLast = isOver.isSet
            let status = try await follower.poll(clock, meter?())
            display.show(follower.progress)
            if status.state.isTerminal {
                _ = await ending
                return status
            }
            guard isLast else {
                try await clock.pause(Self.pollMs)
                continue
            }
            switch await ending {
            case .success(.stopped): return status
            case .success(.finished): throw RunError.worker("the worker ended before the batch did")
            case .failure(let error): throw RunError.worker(String(describing: error))
            }
        }
    }
}

/// A flag that is set once, from any thread.
private final class Latch: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}

extension RunError {
    /// What any part of a run throws, by who can mend it.
    init(_ error: any Error) {
        switch error {
        case let error as RunError: self = error
        case let error as BatchInputError: self = .input(error.description)
        case let error as ResultFileError: self = .output(error.description)
        case let error as JobQueueError: self = .queue(error.description)
        case is CancellationError: self = .worker("the run was cancelled")
        default: self = .queue(String(describing: error))
        }
    }
}
