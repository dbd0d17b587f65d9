import JobQueue
import Kernels
import Models
import Scheduler

/// The step loop: schedule, forward, sample, commit. Belongs to the engine's thread.
///
/// Where the device chooses tokens by itself, the next step is planned and begun while it computes this one, with rows
/// whose tokens only the device knows yet (EngineLoop+Ahead). What comes out is the same.
final class EngineLoop {
    struct Running {
        var generation: GenerationState
        var startedAt: ContinuousClock.Instant?
        var firstTokenAt: ContinuousClock.Instant?
    }

    var scheduler: BatchScheduler
    let runner: any ModelRunner
    private let tokenizer: any Tokenizer
    private let emit: (EngineEvent) -> Void
    var running: [SequenceID: Running] = [:]
    private(set) var plan = StepPlan()
    /// The step that was begun last, while its tokens are not known.
    var ahead: StepAhead?
    var sampled: [Scheduler.SampledToken] = []
    private var ended: [SequenceID] = []
    var sampler = Sampler()
    var choices = CUDASamplingBatch()
    private var generatedTokens = 0
    private var stepTimes = StepTimes()
    private let clock = ContinuousClock()
    private(set) var snapshot: EngineSnapshot

    init(
        limits: SchedulerLimits, runner: any ModelRunner, tokenizer: any Tokenizer,
        emit: @escaping (EngineEvent) -> Void
    ) {
        scheduler = BatchScheduler(limits)
        self.runner = runner
        self.tokenizer = tokenizer
        self.emit = emit
        snapshot = EngineSnapshot(statistics: scheduler.statistics, room: scheduler.room)
    }

    var isIdle: Bool { scheduler.isEmpty && ahead == nil }

    func add(_ job: EngineJob) {
        snapshot.acceptedJobs += 1
        snapshot.acceptedTokens += job.tokens
        guard job.spec.needsModel else {
            let now = clock.now
            emitFinished(job.id, Running(generation: GenerationState(job.spec, tokenizer: tokenizer)), at: now)
            return
        }
        do throws(AdmissionError) {
            try scheduler.add(job.newSequence)
            running[job.id] = Running(generation: GenerationState(job.spec, tokenizer: tokenizer))
        } catch {
            emit(.failed(job.id, Self.outcome(of: error)))
        }
    }

    func cancel(_ id: SequenceID) {
        scheduler.cancel(id)
        running[id] = nil
    }

    func returnWaiting() {
        for id in running.filter({ $0.value.startedAt == nil }).keys.sorted() {
            cancel(id)
            emit(.returned(id))
        }
    }

    /// One forward pass and what follows from it, or from the one before.
    /// - Throws: when the device failed; nothing can run on it any more.
    func step() throws {
        let start = clock.now
        scheduler.schedule(into: &plan)
        if !plan.isEmpty {
            noteStarts()
            try runner.forward(PackedBatch(plan, chosen: ahead?.places ?? [:]))
        }
        try finishAhead()
        if !plan.isEmpty {
            if try !chooseAhead() {
                try sample()
                settle(scheduler.commit(sampled))
            }
            stepTimes.add(clock.now - start)
        }
        refreshSnapshot()
    }

    private func noteStarts() {
        let now = clock.now
        for entry in plan.entries where entry.phase == .prefill && running[entry.id]?.startedAt == nil {
            running[entry.id]?.startedAt = now
        }
    }

    /// Ends a sequence that no token could be chosen for; its neighbours go on (I7).
    func fail(_ id: SequenceID, _ error: SamplingError) {
        scheduler.cancel(id)
        running[id] = nil
        emit(.failed(id, error.outcome))
    }

    func note(_ step: GenerationState.Step, of id: SequenceID) {
        guard let token = running[id]?.generation.output.last else { return }
        if running[id]?.firstTokenAt == nil { running[id]?.firstTokenAt = clock.now }
        generatedTokens += 1
        sampled.append(Scheduler.SampledToken(id, token))
        if case .finished = step { ended.append(id) }
    }

    /// Ends the sequences that the scheduler let go, and those that a token ended.
    func settle(_ finished: [FinishedSequence]) {
        for finished in finished { complete(finished) }
        for id in ended {
            if let finished = scheduler.finish(id) { complete(finished) }
        }
        sampled.removeAll(keepingCapacity: true)
        ended.removeAll(keepingCapacity: true)
    }

    private func complete(_ finished: FinishedSequence) {
        guard var run = running.removeValue(forKey: finished.id) else { return }
        run.generation.cachedTokens = finished.cachedPromptTokens
        emitFinished(finished.id, run, at: clock.now)
    }

    private func emitFinished(_ id: SequenceID, _ run: Running, at now: ContinuousClock.Instant) {
        var generation = run.generation
        if generation.spec.maxTokens == 0 { generation.finishScoring() }
        guard let sequence = generation.result else {
            preconditionFailure("\(id) left the scheduler before its generation ended")
        }
        emit(
            .finished(
                id,
                FinishedGeneration(
                    sequence: sequence, startedAt: run.startedAt ?? now, firstTokenAt: run.firstTokenAt ?? now,
                    endedAt: now)))
    }

    private func refreshSnapshot() {
        snapshot.statistics = scheduler.statistics
        snapshot.room = scheduler.room
        snapshot.generatedTokens = generatedTokens
        snapshot.promptTokens = snapshot.statistics.counts.prefillRows
        snapshot.steps = snapshot.statistics.counts.steps
        snapshot.stepMs = stepTimes.medianMs
    }

    private static func outcome(of error: AdmissionError) -> OutcomeError {
        switch error {
        case .beyondContext, .beyondCache:
            OutcomeError(code: "context_length_exceeded", message: error.description)
        case .emptyPrompt, .negativeNewTokens, .priority:
            OutcomeError(code: "invalid_request", message: error.description)
        case .duplicate, .tooManyWaiting:
            OutcomeError(code: "internal_error", message: error.description, statusCode: 500)
        }
    }
}

extension PackedBatch {
    /// The scheduler's plan as kernels read it; shares the plan's arrays.
    /// - Parameter places: of the sequences that await a token, in the choice under way.
    init(_ plan: StepPlan, chosen places: [SequenceID: Int32]) {
        self.init()
        if plan.entries.contains(where: \.awaitsToken) {
            chosen = Array(repeating: -1, count: plan.rowCount)
            for entry in plan.entries where entry.awaitsToken {
                guard let place = places[entry.id] else { preconditionFailure("\(entry.id) awaits no choice") }
                chosen[entry.rows.lowerBound] = place
            }
        }
        tokens = plan.tokens
        positions = plan.positions
        slots = plan.slots
        blockTables = plan.blockTables
        logitRows = plan.logitRows
        sequences = plan.entries.map { entry in
            Sequence(rows: entry.rows, start: entry.start, blockTableOffset: entry.blocks.lowerBound)
        }
    }
}
