import Foundation
import Synchronization

/// Starts processes that end with this one, however it ends.
///
/// The kernel sends a child its signal when the *thread* that started it ends, so that has to be one that stays.
///
/// Source: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
public final class Spawner: Sendable {
    public static let shared = Spawner()

    private let jobs = Mutex<[@Sendable () -> Void]>([])
    private let isOver = Mutex(false)
    private let bell = DispatchSemaphore(value: 0)

    public init() {
        let thread = Thread { [self] in
            while !isOver.withLock({ $0 }) {
                bell.wait()
                for job in jobs.withLock({ jobs in
                    defer { jobs = [] }
                    return jobs
                }) { job() }
            }
        }
        thread.name = "spawner"
        thread.start()
    }

    /// Runs `process`, whose executable and arguments are set.
    public func run(_ process: Process) throws {
        let program = process.executableURL?.path ?? ""
        process.arguments = ["--pdeathsig", "KILL", program] + (process.arguments ?? [])
        process.executableURL = URL(filePath: "/usr/bin/setpriv")
        let started = process
        let failure = Failure()
        let done = DispatchSemaphore(value: 0)
        jobs.withLock { jobs in
            jobs.append {
                do { try started.run() } catch { failure.error.withLock { $0 = error } }
                done.signal()
            }
        }
        bell.signal()
        done.wait()
        if let error = failure.error.withLock({ $0 }) { throw error }
    }

    private final class Failure: Sendable {
        let error = Mutex<(any Error)?>(nil)
    }

    /// Ends the thread; what it started is killed.
    public func end() {
        isOver.withLock { $0 = true }
        bell.signal()
    }
}
