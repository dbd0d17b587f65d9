import Foundation

/// A redis-server of a test's own: on a socket in a folder of its own, gone with it.
public final class RedisServer: Sendable {
    public let folder: URL
    private let arguments: [String]
    private let process: LockedProcess

    public var socket: String { folder.appending(path: "redis.sock").path }

    /// Starts a server with an append-only file. `arguments` are further settings: `--maxmemory`, `10mb` ...
    public init(_ arguments: [String] = []) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString.prefix(13))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.arguments = arguments
        process = LockedProcess()
        try start()
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: folder)
    }

    public var processID: Int32 { process.with { $0?.processIdentifier ?? -1 } }

    /// Starts it again after `kill`, on the same files.
    public func start() throws {
        let server = Process()
        server.executableURL = URL(filePath: "/usr/bin/env")
        server.arguments =
            [
                "redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder.path, "--appendonly", "yes",
                "--appendfsync", "always", "--save", "", "--loglevel", "warning", "--logfile",
                folder.appending(path: "log").path,
            ] + arguments
        server.standardOutput = FileHandle.nullDevice
        server.standardError = FileHandle.nullDevice
        try Spawner.shared.run(server)
        process.with { $0 = server }
        // The socket appears when it listens.
        for _ in 0..<2000 where !answers() { usleep(5000) }
    }

    private func answers() -> Bool {
        let descriptor = Foundation.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(socket.utf8).prefix($0.count - 1)) }
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard isConnected, send(descriptor, "PING\r\n", 6, Int32(MSG_NOSIGNAL)) == 6 else { return false }
        var waits = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var answer = [UInt8](repeating: 0, count: 64)
        guard poll(&waits, 1, 5000) == 1, recv(descriptor, &answer, answer.count, 0) > 0 else { return false }
        // It may want a password first; while it reads its file it is not there yet.
        return !String(decoding: answer, as: UTF8.self).hasPrefix("-LOADING")
    }

    /// As a power cut would: nothing is flushed that was not.
    public func kill() {
        process.with { process in
            guard let running = process else { return }
            Foundation.kill(running.processIdentifier, SIGKILL)
            running.waitUntilExit()
            process = nil
        }
    }

    public func signal(_ number: Int32) { _ = Foundation.kill(processID, number) }

    /// A port that was free a moment ago.
    public static func freePort() -> Int {
        let listening = Foundation.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listening) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listening, $0, length)
                _ = getsockname(listening, $0, &length)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}

/// `Process` is not Sendable; every use holds the lock.
final class LockedProcess: @unchecked Sendable {
    private let lock = NSLock()
    private var process: Process?

    func with<T>(_ body: (inout Process?) throws -> T) rethrows -> T {
        try lock.withLock { try body(&process) }
    }
}
