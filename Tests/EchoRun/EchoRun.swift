import Foundation
import JobQueue
import Submitter

/// `EchoRun INPUT OUTPUT MICROSECONDS`: a run on a real store with a worker that echoes, each step taking so long.
@main struct EchoRun {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let stepUs = UInt32(arguments[3]) else { exit(64) }
        let configuration = RunConfiguration(
            input: arguments[1], places: ResultPlaces(output: arguments[2]),
            model: ModelIdentity(name: "echo", fingerprint: "echo"))
        let clock = RunClock(
            now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) },
            uptimeMs: { Int64(ProcessInfo.processInfo.systemUptime * 1000) },
            pause: { _ in try await Task.sleep(for: .milliseconds(1)) })
        let session = RunSession(configuration, clock: clock) { try SQLiteQueue(path: $0) }
        var worker = EchoWorker()
        worker.onRequest = { _ in usleep(stepUs) }
        do {
            let summary = try await session.run(display: NoProgress(), work: worker.work)
            print(summary.json.text)
            exit(summary.allCompleted ? 0 : 1)
        } catch {
            print(error)
            exit(3)
        }
    }
}
