import Foundation
import Synchronization
import Worker

/// Keeps a number of transfers to a slow server in flight for a while, and says how near the rate came to the ideal.
@main struct UpstreamBench {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 5, let concurrent = Int(arguments[2]), let seconds = Double(arguments[3]),
            let latencyMs = Double(arguments[4])
        else {
            print("usage: UpstreamBench URL TRANSFERS SECONDS LATENCY_MS [CA_FILE]")
            exit(64)
        }
        var settings = Upstream.Settings()
        settings.maxTransfers = concurrent
        if arguments.count > 5 { settings.caFile = arguments[5] }
        let load = Load(try Upstream(settings), baseURL: arguments[1])
        load.begin(concurrent)
        // The connections are made first; what is measured is the steady state.
        while load.done < concurrent * 2 { try await Task.sleep(for: .milliseconds(20)) }
        let (startDone, start, startCPU) = (load.done, ContinuousClock.now, cpuSeconds())
        try await Task.sleep(for: .seconds(seconds))
        let (endDone, elapsed, cpu) = (load.done, start.duration(to: .now), cpuSeconds() - startCPU)
        let wall = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let rate = Double(endDone - startDone) / wall
        let ideal = Double(concurrent) * 1000 / latencyMs
        print(String(
            format: "%.0f requests/s, %.1f%% of the ideal %.0f; %d failed; CPU %.0f%% of one core; peak %.0f MiB; %d threads",
            rate, 100 * rate / ideal, ideal, load.failed, 100 * cpu / wall, peakMiB(), threads()))
        load.end()
    }

    static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        let times = [usage.ru_utime, usage.ru_stime]
        return times.reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
    }

    static func peakMiB() -> Double {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return Double(usage.ru_maxrss) / 1024
    }

    static func threads() -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? 0
    }
}

/// Each finished transfer begins the next.
final class Load: Sendable {
    private let upstream: Upstream
    private let request: UpstreamRequest
    private let counts = Mutex((done: 0, failed: 0, ending: false))

    init(_ upstream: Upstream, baseURL: String) {
        self.upstream = upstream
        let body = #"{"model":"m","messages":[{"role":"user","content":"\#(String(repeating: "word ", count: 160))"}]}"#
        request = UpstreamRequest(baseURL: baseURL, path: "/chat/completions", body: Array(body.utf8))
    }

    var done: Int { counts.withLock { $0.done } }
    var failed: Int { counts.withLock { $0.failed } }

    func begin(_ transfers: Int) { for _ in 0..<transfers { next() } }

    func end() {
        counts.withLock { $0.ending = true }
        upstream.stop()
    }

    private func next() {
        upstream.send(request) { [self] reply in
            let goesOn = counts.withLock { counts in
                counts.done += 1
                if reply.failure != nil || reply.status != 200 { counts.failed += 1 }
                return !counts.ending
            }
            if goesOn { next() }
        }
    }
}
