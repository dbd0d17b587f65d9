import Foundation
import RedisServer
import Testing

/// What tests start does not outlive them.
@Suite struct SpawnerTests {
    /// The kernel counts the thread's end as the parent's, so that it can be seen without a process that ends.
    @Test func aProcessEndsWithWhoeverStartedIt() throws {
        let spawner = Spawner()
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sleep")
        process.arguments = ["1000"]
        try spawner.run(process)
        // From the program's own start on; what it is started by asks for the signal.
        let name = "/proc/\(process.processIdentifier)/comm"
        while process.isRunning, (try? String(contentsOfFile: name, encoding: .utf8)) != "sleep\n" { sched_yield() }
        #expect(process.isRunning)
        spawner.end()
        for _ in 0..<2000 where process.isRunning { usleep(5000) }
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(process.terminationStatus == SIGKILL)
    }

    @Test func aServerIsItsOwnProcess() throws {
        let server = try RedisServer()
        let name = try String(contentsOfFile: "/proc/\(server.processID)/comm", encoding: .utf8)
        #expect(name.hasPrefix("redis"))
    }
}
