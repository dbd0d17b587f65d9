import Foundation
import JSON
import JobQueue
import Logging
import Synchronization
import Testing

@testable import Worker

/// The worker as a service, with the service manager's end of the socket in the test's hands.
@Suite(.timeLimit(.minutes(2))) struct ServiceTests {
    /// A service on the test bed, whose waits are short and counted.
    final class Bench: Sendable {
        let bed: WorkerTestBed
        let socket: NotifySocket
        let service: WorkerService
        private let work: Task<Void, any Error>

        init(
            _ place: NotifySocket.Place = .path, watchdogMs: Int? = 8_000, bed: WorkerTestBed,
            load: @escaping @Sendable () async throws -> Void = {},
            onStep: @escaping @Sendable ([Int32]) throws -> Void = { _ in }
        ) {
            self.bed = bed
            let socket = NotifySocket(place)
            self.socket = socket
            var environment = ["NOTIFY_SOCKET": socket.address]
            if let watchdogMs {
                environment["WATCHDOG_USEC"] = String(watchdogMs * 1000)
                environment["WATCHDOG_PID"] = String(getpid())
            }
            let counter = Counter()
            counted = counter
            var log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            log.logLevel = .critical
            let service = WorkerService(
                WorkerTestBed.settings, identity: WorkerIdentity(name: "w", backend: "test", startedAt: bed.now),
                notifier: ServiceNotifier(environment: environment, processID: getpid()), now: { bed.now },
                pause: { ms in
                    bed.pass(ms)
                    counter.add()
                    try await Task.sleep(for: .milliseconds(1))
                },
                log: log,
                openQueue: { () async throws(JobQueueError) in
                    if let outage = bed.queue.state.outage { throw outage }
                    return bed.queue
                },
                start: { _, onEvent in
                    try await load()
                    return try await bed.makeEngine(onEvent: onEvent, onStep: onStep)
                })
            self.service = service
            work = Task { try await service.run() }
        }

        private let counted: Counter
        /// Waits that the service has made.
        var periods: Int { counted.value }

        func end() async throws { try await work.value }

        final class Counter: Sendable {
            private let count = Mutex(0)
            var value: Int { count.withLock { $0 } }
            func add() { count.withLock { $0 += 1 } }
        }
    }

    @Test(arguments: [NotifySocket.Place.path, .abstract])
    func isReadyWhenTheModelIsLoadedAndTheQueueAnswers(_ place: NotifySocket.Place) async throws {
        let bed = try WorkerTestBed()
        let isLoaded = Mutex(false)
        bed.queue.goAway()
        let bench = Bench(place, bed: bed, load: { while !isLoaded.withLock({ $0 }) { await Task.yield() } })
        // Loading takes its time, and says so.
        try await bed.until { bench.socket.count("EXTEND_TIMEOUT_USEC=30000000") >= 3 }
        #expect(bench.socket.count("STATUS=loading the model") == 1)
        isLoaded.withLock { $0 = true }
        try await bed.until { bench.socket.count("STATUS=waiting for the queue") == 1 }
        let periods = bench.periods
        try await bed.until { bench.periods > periods + 10 }
        #expect(bench.socket.count("READY=1") == 0)
        #expect(bench.socket.count("WATCHDOG=1") == 0)
        bed.queue.comeBack()
        try await bed.until { bench.socket.count("READY=1") == 1 }
        #expect(bench.service.stop())
        try await bench.end()
        // The socket has a reader of its own, which may be a moment behind.
        try await bed.until { bench.socket.count("STOPPING=1") == 1 }
        #expect(try #require(bench.socket.place(of: "STOPPING=1")) > (try #require(bench.socket.place(of: "READY=1"))))
        #expect(bed.queue.state.forgotten == ["w"])
    }

    @Test func aQueueThatCannotBeUsedEndsItBeforeTheModelIsLoaded() async throws {
        let bed = try WorkerTestBed()
        bed.queue.change { $0.outage = .unusableStore("not a queue") }
        let bench = Bench(bed: bed, load: { Issue.record("loaded all the same") })
        await #expect(throws: JobQueueError.unusableStore("not a queue")) { try await bench.end() }
        #expect(bench.socket.count("READY=1") == 0)
    }

    @Test func aStopWhileLoadingNeedsNoDrain() async throws {
        let bed = try WorkerTestBed()
        let isLoaded = Mutex(false)
        let bench = Bench(bed: bed, load: { while !isLoaded.withLock({ $0 }) { await Task.yield() } })
        try await bed.until { bench.socket.count("STATUS=loading the model") == 1 }
        #expect(!bench.service.stop())
        isLoaded.withLock { $0 = true }
        try await bed.until { bench.socket.count("READY=1") == 1 }
        #expect(bench.service.stop())
        try await bench.end()
    }

    /// An engine that waits for work is alive, and so is one whose steps follow each other; a step that does not end
    /// is not, and the watchdog starves.
    @Test func theWatchdogIsFedFromTheEnginesProgress() async throws {
        let bed = try WorkerTestBed()
        let gate = StepGate(open: false)
        let bench = Bench(bed: bed, onStep: gate.pass)
        try await bed.until { bench.socket.count("READY=1") == 1 }
        // Idle.
        try await bed.until { bench.socket.count("WATCHDOG=1") >= 20 }
        // Busy, and getting on.
        let batch = try await bed.submit("aaaa", maxTokens: 200)
        try await bed.until { gate.isWaiting }
        let before = bench.socket.count("WATCHDOG=1")
        try await bed.until {
            gate.allow(1)
            return bench.socket.count("WATCHDOG=1") >= before + 20
        }
        // Stuck.
        gate.close()
        try await bed.until { gate.isWaiting }
        let settled = bench.periods
        try await bed.until { bench.periods >= settled + 20 }
        let starved = bench.socket.count("WATCHDOG=1")
        let periods = bench.periods
        try await bed.until { bench.periods >= periods + 100 }
        #expect(bench.socket.count("WATCHDOG=1") == starved)
        // It ends after all.
        gate.allow()
        try await bed.until { bench.socket.count("WATCHDOG=1") > starved }
        try await bed.untilOver(batch)
        #expect(bench.service.stop())
        try await bench.end()
    }

    @Test func nobodyWatchesUnlessAsked() throws {
        func notifier(_ environment: [String: String]) -> ServiceNotifier {
            ServiceNotifier(environment: environment, processID: 77)
        }
        let both = ["NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000"]
        #expect(notifier(both).watchdogMs == 3000)
        #expect(notifier(both.merging(["WATCHDOG_PID": "77"]) { $1 }).watchdogMs == 3000)
        #expect(notifier(both.merging(["WATCHDOG_PID": "78"]) { $1 }).watchdogMs == nil)
        #expect(notifier(["WATCHDOG_USEC": "3000000"]).watchdogMs == nil)
        #expect(notifier(["NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"]).watchdogMs == nil)
        #expect(!notifier(["NOTIFY_SOCKET": "relative"]).isWanted)
        // Nobody listens there, and nothing comes of it.
        notifier(["NOTIFY_SOCKET": "/nowhere/at/all"]).ready("ready")
        notifier(["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 300)]).ready("ready")
    }

    @Test func messagesAreTheProtocols() async throws {
        let socket = NotifySocket()
        let notifier = ServiceNotifier(environment: ["NOTIFY_SOCKET": socket.address], processID: 1)
        notifier.status("two\nlines")
        notifier.reloading()
        notifier.ready("r")
        notifier.extendTimeout(ms: 1500)
        let bed = try WorkerTestBed()
        try await bed.until { socket.messages.count == 4 }
        #expect(socket.messages[0] == "STATUS=two lines")
        let reload = socket.messages[1].split(separator: "\n")
        #expect(reload[0] == "RELOADING=1")
        let microseconds = try #require(UInt64(reload[1].dropFirst("MONOTONIC_USEC=".count)))
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let age = UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1000 - microseconds
        #expect(age < 60_000_000)
        #expect(socket.messages[2] == "READY=1\nSTATUS=r")
        #expect(socket.messages[3] == "EXTEND_TIMEOUT_USEC=1500000")
    }

    @Test func reloadsWhileItServes() async throws {
        let bed = try WorkerTestBed()
        let bench = Bench(bed: bed)
        try await bed.until { bench.socket.count("READY=1") == 1 }
        var settings = WorkerTestBed.settings
        settings.models = ["other"]
        bench.service.reload(settings)
        try await bed.until { bed.queue.state.claims.last?.models == ["other"] }
        #expect(bench.socket.count("RELOADING=1") == 1)
        #expect(bench.socket.count("READY=1") == 2)
        #expect(bench.service.stop())
        try await bench.end()
    }
}

/// How services log.
@Suite struct JSONLogTests {
    @Test func linesAreObjects() throws {
        let written = Mutex<[String]>([])
        var log = Logger(label: "worker") { label in
            JSONLogHandler(
                label: label, now: { Date(timeIntervalSince1970: 1_700_000_000.25) },
                write: { line in written.withLock { $0.append(line) } })
        }
        log.logLevel = .info
        log[metadataKey: "worker"] = "w\"1"
        let lease = Lease(key: RequestKey(batch: BatchID("batch_1"), ordinal: 5), attempt: 2)
        log.info("lease lost\nhere", metadata: lease.metadata)
        log.debug("not this")
        let lines = written.withLock { $0 }
        #expect(
            lines == [
                #"{"time":"2023-11-14T22:13:20.250Z","level":"info","logger":"worker","message":"lease lost\nhere","#
                    + #""attempt":2,"batch":"batch_1","request":5,"worker":"w\"1"}"# + "\n"
            ])
    }
}

/// The configuration file of a service.
@Suite struct ConfigurationFileTests {
    @Test func readsNamesAndValues() throws {
        let file = try ConfigurationFile(
            "# a worker\n\n model = /srv/models/a b.gguf \nqueue=redis://h/0?queue=x\n#end", path: "w.conf")
        #expect(file.entries.map(\.argument) == ["--model=/srv/models/a b.gguf", "--queue=redis://h/0?queue=x"])
        #expect(file.entries.map(\.line) == [3, 4])
        let other = try ConfigurationFile("model = b\nlease = 30s\nqueue=redis://h/0?queue=x", path: "w.conf")
        #expect(file.changedNames(in: other) == ["lease", "model"])
    }

    @Test(arguments: [
        ("model", "w.conf:1: 'model' is not 'name = value'"),
        ("\nmodel =", "w.conf:2: 'model' has no value; give one, or remove the line"),
        ("MODEL=x", "w.conf:1: 'MODEL' is not an option's name: lower-case letters and dashes, as 'max-num-seqs'"),
        ("--model=x", "w.conf:1: '--model' is not an option's name: lower-case letters and dashes, as 'max-num-seqs'"),
        ("a=1\na=2", "w.conf:2: 'a' stands in line 1 already; keep one"),
    ])
    func saysWhatIsWrong(_ text: String, _ message: String) {
        #expect(throws: ConfigurationFile.Fault.self) { try ConfigurationFile(text, path: "w.conf") }
        do { _ = try ConfigurationFile(text, path: "w.conf") } catch { #expect(error.description == message) }
    }
}
