import Foundation
import Models
import Scheduler
import Synchronization

/// One sequence to generate, under the engine's name for it.
package struct EngineJob: Sendable {
    package var id: SequenceID
    package var tenant: TenantID
    package var spec: GenerationSpec
    /// Sequences share prefix cache blocks only with others of the same salt.
    package var cacheSalt: UInt64

    package init(id: SequenceID, tenant: TenantID, spec: GenerationSpec, cacheSalt: UInt64 = 0) {
        self.id = id
        self.tenant = tenant
        self.spec = spec
        self.cacheSalt = cacheSalt
    }

    /// The most KV cache positions that it can come to need.
    var tokens: Int { spec.prompt.count + spec.maxTokens }

    var newSequence: NewSequence {
        let priorities = SchedulerLimits.priorities
        return NewSequence(
            id: id, tenant: tenant,
            priority: min(max(spec.priority, priorities.lowerBound), priorities.upperBound),
            prompt: spec.prompt, maxNewTokens: spec.maxTokens, cacheSalt: cacheSalt,
            needsPromptLogits: spec.needsPromptRows)
    }
}

/// Runs sequences on a thread of its own, at its own pace. Jobs go in through a mailbox; events come out through the
/// closure given at the start. The model is loaded on that thread and never leaves it.
package final class Engine: Sendable {
    package struct Settings: Sendable {
        /// Sequences that run at once.
        package var maxSequences = 256

        package init(maxSequences: Int = 256) {
            self.maxSequences = maxSequences
        }
    }

    private enum Command: Sendable {
        case add([EngineJob])
        case cancel([SequenceID])
        case returnWaiting
        case stop
    }

    private let mailbox = Mailbox<Command>()
    private let shared = Mutex<EngineSnapshot?>(nil)
    private let beat = Mutex(EnginePulse())

    package init() {}

    /// nil before the model is loaded.
    package var snapshot: EngineSnapshot? { shared.withLock { $0 } }

    package var pulse: EnginePulse { beat.withLock { $0 } }

    package func submit(_ jobs: [EngineJob]) { mailbox.post(.add(jobs)) }
    /// What of them still runs stops within one step, without an event.
    package func cancel(_ ids: [SequenceID]) { mailbox.post(.cancel(ids)) }
    /// Sequences that never ran are given back, each with a `.returned` event; what runs goes on.
    package func returnWaiting() { mailbox.post(.returnWaiting) }
    /// Ends the thread after the step that runs; `.stopped` is the last event.
    package func stop() { mailbox.post(.stop) }

    /// Loads the model on the engine's thread and starts the loop.
    /// - Parameters:
    ///   - load: runs once, on the engine's thread.
    ///   - onEvent: runs on the engine's thread; must not block.
    /// - Returns: the loaded model's shape, once it is ready.
    package func start(
        _ settings: Settings, tokenizer: any Tokenizer,
        load: @escaping @Sendable () throws -> any ModelRunner,
        onEvent: @escaping @Sendable (EngineEvent) -> Void
    ) async throws -> ModelShape {
        try await withCheckedThrowingContinuation { ready in
            let thread = Thread { [self] in
                let loop: EngineLoop
                do {
                    let runner = try load()
                    let shape = runner.shape
                    let limits = try SchedulerLimits(
                        blockSize: shape.blockSize, blockCount: shape.blockCount,
                        maxSequences: min(settings.maxSequences, shape.maxRows), tokenBudget: shape.maxRows,
                        contextLength: shape.contextLength)
                    loop = EngineLoop(limits: limits, runner: runner, tokenizer: tokenizer, emit: onEvent)
                    shared.withLock { $0 = loop.snapshot }
                    ready.resume(returning: shape)
                } catch {
                    ready.resume(throwing: error)
                    return
                }
                onEvent(.stopped(run(loop)))
            }
            thread.name = "engine"
            thread.stackSize = 16 << 20
            thread.start()
        }
    }

    /// - Returns: why it ended; nil by `stop`.
    private func run(_ loop: EngineLoop) -> String? {
        while true {
            let isIdle = loop.isIdle
            if isIdle { beat.withLock { $0.isBusy = false } }
            let commands = mailbox.take(waiting: isIdle)
            beat.withLock { $0 = EnginePulse(turns: $0.turns + 1, isBusy: true) }
            for command in commands {
                switch command {
                case .add(let jobs): for job in jobs { loop.add(job) }
                case .cancel(let ids): for id in ids { loop.cancel(id) }
                case .returnWaiting: loop.returnWaiting()
                case .stop: return nil
                }
            }
            do {
                try loop.step()
            } catch {
                return "the device failed: \(error)"
            }
            shared.withLock { $0 = loop.snapshot }
        }
    }
}
