import JobQueue
import Testing

/// How a queue's address is written, and that it never shows a password.
@Suite struct QueueAddressTests {
    private func redis(_ text: String, password: String? = nil) throws -> RedisAddress {
        guard case .redis(let address) = try QueueAddress(text, password: password) else {
            throw JobQueueError.invalidArgument("\(text) is no Redis address")
        }
        return address
    }

    @Test func aPathIsAFile() throws {
        for path in ["queue.sqlite", "/var/lib/millrace/q", "./a:b", "redis"] {
            #expect(try QueueAddress(path) == .file(path: path))
        }
        #expect(throws: JobQueueError.self) { try QueueAddress("") }
        #expect(throws: JobQueueError.self) { try QueueAddress("q.sqlite", password: "x") }
    }

    @Test func partsThatAreLeftOutHaveDefaults() throws {
        let address = try redis("redis://db.example")
        #expect(address.endpoint == .tcp(host: "db.example", port: 6379))
        #expect(address.user == nil && address.password == nil && address.database == 0)
        #expect(address.queue == "default" && !address.usesTLS)
        #expect(try redis("redis://").endpoint == .tcp(host: "localhost", port: 6379))
    }

    @Test func everyPartIsRead() throws {
        let address = try redis("rediss://worker:p%40ss%3Aword@db:7000/3?queue=night-1")
        #expect(address.endpoint == .tcp(host: "db", port: 7000))
        #expect(address.user == "worker" && address.password == "p@ss:word")
        #expect(address.database == 3 && address.queue == "night-1" && address.usesTLS)
        #expect(try redis("redis://:a@b@h").password == "a@b")
        #expect(try redis("redis://:secret@h").user == nil)
        #expect(try redis("redis://u@[::1]:9/2").endpoint == .tcp(host: "::1", port: 9))
        #expect(try redis("redis://h", password: "given").password == "given")
        let socket = try redis("unix:///run/my%20redis.sock?db=2&queue=q")
        #expect(socket.endpoint == .unix(path: "/run/my redis.sock"))
        #expect(socket.database == 2 && socket.queue == "q")
    }

    @Test func tlsMayHaveACertificate() throws {
        let address = try redis("rediss://db?cert=/etc/a%26b.pem&key=/etc/k.pem&queue=q")
        let expected = RedisAddress.ClientCertificate(certificate: "/etc/a&b.pem", key: "/etc/k.pem")
        #expect(address.clientCertificate == expected)
        #expect(try redis("\(address)") == address)
        #expect(try redis("rediss://db?cert=/both.pem").clientCertificate?.key == "/both.pem")
        for wrong in ["rediss://db?key=/k.pem", "redis://db?cert=/c.pem"] {
            #expect(throws: JobQueueError.self) { try QueueAddress(wrong) }
        }
    }

    @Test func passwordsAreNotShown() throws {
        for text in ["redis://u:s3cret@h:1/2?queue=q", "rediss://:s3cret@h", "redis://u:s3cret@[::1]"] {
            let address = try QueueAddress(text)
            #expect(!"\(address)".contains("s3cret"))
            #expect(try QueueAddress("\(address)").description == address.description)
        }
        for wrong in [
            "redis://u:s3cret@h:port", "redis://u:s3cret%@h", "redis://u:s3cret@h/x", "redis://:s3cret@h?x=1",
            "redis://u:a?s3cret@h",
        ] {
            do {
                _ = try QueueAddress(wrong)
                Issue.record("\(wrong) was taken")
            } catch {
                #expect(!"\(error)".contains("s3cret"))
            }
        }
    }

    @Test(arguments: [
        "http://h", "redis://h:0", "redis://h:65536", "redis://h:1:2", "redis://h/-1", "redis://h/a",
        "redis://[::1]x", "redis://h?queue=", "redis://h?queue=a{b}", "redis://h?database=1", "unix://relative",
        "unix://", "redis://%zz@h", "redis://h?queue=%00",
    ])
    func whatIsWrongIsRefused(_ text: String) {
        #expect(throws: JobQueueError.self) { try QueueAddress(text) }
    }
}
