import Foundation
import RedisServer
import Testing

@testable import JobQueue

/// rediss:// against a real server with certificates of a test's own.
@Suite struct RedisTLSTests {
    /// An authority, and what it has signed.
    private struct Authority {
        let folder: URL

        init(in folder: URL) throws {
            self.folder = folder
            try openssl(
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
        }

        var file: String { path("ca.pem") }

        func path(_ name: String) -> String { folder.appending(path: name).path }

        /// NAME.pem and NAME.key.
        func sign(_ name: String, _ alternativeNames: String) throws {
            try Data("subjectAltName=\(alternativeNames)\n".utf8).write(to: folder.appending(path: "\(name).cnf"))
            try openssl(
                "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(name)")
            try openssl(
                "x509", "-req", "-in", "\(name).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                "\(name).pem", "-days", "2", "-extfile", "\(name).cnf")
        }

        private func openssl(_ arguments: String...) throws {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/openssl")
            process.arguments = arguments
            process.currentDirectoryURL = folder
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            try #require(process.terminationStatus == 0, "openssl \(arguments)")
        }
    }

    private struct Place {
        let scratch: Scratch
        let authority: Authority
        let server: RedisServer
        let port: Int

        init(_ names: String, asksForCertificate: Bool = false, more: [String] = []) throws {
            scratch = try Scratch()
            authority = try Authority(in: scratch.folder)
            try authority.sign("server", names)
            port = RedisServer.freePort()
            server = try RedisServer(
                [
                    "--tls-port", "\(port)", "--tls-cert-file", authority.path("server.pem"), "--tls-key-file",
                    authority.path("server.key"), "--tls-ca-cert-file", authority.file, "--tls-auth-clients",
                    asksForCertificate ? "yes" : "no",
                ] + more)
        }

        func open(
            _ host: String = "localhost", password: String? = nil, more: String = "", authorities: String? = nil,
            callTimeoutMs: Int = 15_000
        ) async throws -> RedisQueue {
            guard case .redis(let address) = try QueueAddress(
                "rediss://\(host):\(port)/1?queue=tls\(more)", password: password)
            else { throw CancellationError() }
            var options = RedisOptions()
            options.clock = .caller
            options.callTimeoutMs = callTimeoutMs
            options.authorities = authorities ?? authority.file
            return try await RedisQueue.open(address, options: options)
        }
    }

    private func expectUnusable(
        _ error: JobQueueError, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard case .unusableStore(let what) = error else {
            Issue.record("\(error)", sourceLocation: sourceLocation)
            return
        }
        for word in words { #expect(what.contains(word), "\(what)", sourceLocation: sourceLocation) }
    }

    @Test func aQueueWorksOverTLS() async throws {
        let place = try Place("DNS:localhost,IP:127.0.0.1", more: ["--requirepass", "s3cret"])
        let queue = try await place.open(password: "s3cret")
        let count = 300
        let batch = try await queue.open(BatchSpecification(), at: 0)
        // More than a record, a socket's buffer and a pipeline hold.
        try await queue.append((0..<count).map { request($0, bytes: 30_000) }, to: batch, from: 0, at: 0)
        try await queue.seal(batch, total: count, at: 0)
        let leased = try await queue.lease(max: count, worker: "w", durationMs: 10, at: 0)
        #expect(leased.count == count)
        let long = String(repeating: "y", count: 40_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for one in leased {
                group.addTask {
                    let settlement = Settlement(lease: one.lease, outcome: response(long))
                    let results = try await queue.settle([settlement], at: 1)
                    #expect(results == [.done])
                }
            }
            try await group.waitForAll()
        }
        #expect(try await queue.results(batch, after: nil, limit: .max, order: .input).count == count)
        #expect(try await queue.integrityProblems() == [])
        // By address, too.
        try await place.open("127.0.0.1", password: "s3cret").close()
        try await queue.close()
    }

    @Test func aConnectionThatWasLostIsMadeAnew() async throws {
        let place = try Place("DNS:localhost")
        let queue = try await place.open()
        _ = try await queue.call(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"])
        // The server answers before it cuts; what comes next finds the end, or connects again.
        var lost = 0
        for _ in 0..<3 {
            do throws(JobQueueError) { _ = try await queue.recover(at: 0) } catch {
                guard case .unavailable(let what) = error else { throw error }
                #expect(what.contains("lost"))
                lost += 1
            }
        }
        #expect(lost <= 1)
        place.server.kill()
        let error = try await failure { _ = try await queue.recover(at: 0) }
        guard case .unavailable = error else { throw error }
        try place.server.start()
        var isBack = false
        while !isBack { isBack = (try? await queue.recover(at: 0)) != nil }
        try await queue.close()
    }

    @Test func aServerThatHangsIsNoticed() async throws {
        let place = try Place("DNS:localhost")
        let queue = try await place.open(callTimeoutMs: 100)
        place.server.signal(SIGSTOP)
        let error = try await failure { _ = try await queue.recover(at: 0) }
        place.server.signal(SIGCONT)
        guard case .unavailable(let what) = error else { throw error }
        #expect(what.contains("no answer in 100 ms"))
        try await queue.close()
    }

    @Test func serversAreVerified() async throws {
        let place = try Place("DNS:queue.example")
        expectUnusable(
            try await failure { _ = try await place.open() }, "not for localhost", "use the name it is for")
        expectUnusable(try await failure { _ = try await place.open("127.0.0.1") }, "not for 127.0.0.1")
        let other = try Scratch()
        let stranger = try Authority(in: other.folder)
        expectUnusable(
            try await failure { _ = try await place.open(authorities: stranger.file) }, "not trusted", "SSL_CERT_FILE")
        expectUnusable(
            try await failure { _ = try await place.open(authorities: "/nowhere.pem") }, "/nowhere.pem",
            "SSL_CERT_FILE")
        expectUnusable(
            try await failure { _ = try await place.open(authorities: place.authority.path("server.key")) },
            "no certificates of authorities")
    }

    @Test func aServerMayAskForACertificate() async throws {
        let place = try Place("DNS:localhost", asksForCertificate: true)
        expectUnusable(try await failure { _ = try await place.open() }, "asks for a certificate", "cert=FILE")
        try place.authority.sign("client", "DNS:worker")
        let (certificate, key) = (place.authority.path("client.pem"), place.authority.path("client.key"))
        try await place.open(more: "&cert=\(certificate)&key=\(key)").close()
        expectUnusable(
            try await failure { _ = try await place.open(more: "&cert=/nowhere.pem&key=\(key)") }, "/nowhere.pem")
        expectUnusable(
            try await failure {
                _ = try await place.open(more: "&cert=\(certificate)&key=\(place.authority.path("server.key"))")
            }, "not the certificate's private key")
    }

    @Test func aServerWithoutTLSIsNamed() async throws {
        let port = RedisServer.freePort()
        let server = try RedisServer(["--port", "\(port)", "--bind", "127.0.0.1"])
        var options = RedisOptions()
        options.connectTimeoutMs = 500
        let address = try RedisAddress(endpoint: .tcp(host: "127.0.0.1", port: port), usesTLS: true)
        let error = try await failure { [options] in _ = try await RedisQueue.open(address, options: options) }
        #expect("\(error)".contains("does the server speak TLS on this port"))
        withExtendedLifetime(server) {}
    }
}
