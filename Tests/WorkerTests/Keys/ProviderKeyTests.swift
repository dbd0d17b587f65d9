import Foundation
import JSON
import JobQueue
import Testing
import Worker

@Suite struct ProviderKeyTests {
    private static let secret = "gsk_F4tVnq8ZkP2sWx7LmB3r"

    private func key(_ text: String = secret) throws -> ProviderKey {
        try ProviderKey(Array(text.utf8), origin: "test")
    }

    private func text(_ key: ProviderKey) -> String { key.withSecret { String(decoding: $0, as: UTF8.self) } }

    @Test func neverPrints() throws {
        struct Holder {
            var name = "groq"
            var key: ProviderKey
            var more: [ProviderKey?]
        }
        let holder = Holder(key: try key(), more: [try key(), nil])
        var dumped = ""
        dump(holder, to: &dumped)
        let error = SecretError("with \(holder.key)")
        let all = [
            "\(holder)", String(reflecting: holder), dumped, "\(holder.key)", String(describing: holder.key),
            String(reflecting: holder.key), "\(Mirror(reflecting: holder.key).children.count)", "\(error)",
            holder.key.fingerprint, String(describing: Optional(holder.key) as Any),
        ]
        for output in all { #expect(!output.contains(Self.secret.dropFirst(6)), "\(output)") }
        #expect(dumped.contains("[key]"), "the holder itself can be dumped")
        #expect(!((holder.key as Any) is any Encodable), "nothing can encode it")
        #expect(text(holder.key) == Self.secret)
    }

    @Test func fingerprintsTellKeysApart() throws {
        #expect(try key().fingerprint == (try key("  \(Self.secret)\n")).fingerprint)
        #expect(try key().fingerprint != (try key(Self.secret + "x")).fingerprint)
        // printf abc | sha256sum
        #expect(try key("abc").fingerprint == "sha256:ba7816bf8f01")
    }

    @Test(arguments: ["", " \n", "a b", "a\nb", "a\u{0}b", "kéy", "a\r\nX-Other: 1", String(repeating: "k", count: 4097)])
    func textsThatAreNoKeysAreRefused(_ text: String) throws {
        let error = try #require(#expect(throws: SecretError.self) { try key(text) })
        #expect(error.description.hasPrefix("test "))
        #expect(text.count < 2 || !error.description.contains(text))
    }

    @Test func isReadFromWhereItIsKept() throws {
        let folder = try Folder()
        let path = try folder.write("groq", Self.secret + "\n", mode: 0o600)
        #expect(text(try SecretSource("file:\(path)").key()) == Self.secret)
        #expect(text(try SecretSource("credential:groq").key(environment: ["CREDENTIALS_DIRECTORY": folder.path])) == Self.secret)
        #expect(text(try SecretSource("env:K").key(environment: ["K": Self.secret])) == Self.secret)
    }

    @Test(arguments: [0o604, 0o640, 0o660, 0o644, 0o610] as [Int])
    func aFileThatOthersReadIsRefused(_ mode: Int) throws {
        let folder = try Folder()
        let path = try folder.write("groq", Self.secret, mode: mode)
        let error = try #require(#expect(throws: SecretError.self) { try SecretSource("file:\(path)").key() })
        #expect(error.description == "\(path) can be read by others (mode \(String(mode, radix: 8))): chmod 600 '\(path)'")
    }

    @Test func anothersFileIsRefused() throws {
        guard geteuid() == 0 else { return }
        let folder = try Folder()
        let path = try folder.write("groq", Self.secret, mode: 0o600)
        #expect(chown(path, 12_345, 0) == 0)
        let error = try #require(#expect(throws: SecretError.self) { try SecretSource("file:\(path)").key() })
        #expect(error.description.contains("belongs to user 12345"))
    }

    @Test func whatIsMissingIsNamed() throws {
        let folder = try Folder()
        func message(_ source: String, _ environment: [String: String] = [:]) throws -> String {
            try #require(
                #expect(throws: SecretError.self) { try SecretSource(source).key(environment: environment) }).description
        }
        #expect(try message("file:\(folder.path)/none").contains("\(folder.path)/none cannot be read"))
        #expect(try message("file:\(folder.path)").contains("is not a file"))
        #expect(try message("env:NONE").contains("NONE is not set"))
        #expect(try message("credential:groq").contains("LoadCredential=groq"))
        #expect(try message("credential:a/b").contains("without a folder"))
        #expect(try !message(Self.secret).contains(Self.secret), "perhaps it is the key")
        #expect(try !message("key:\(Self.secret)").contains(Self.secret))
    }

    @Test func masterKeysAreBytesOrDigits() throws {
        let digits = String(repeating: "0aF9", count: 16)
        _ = try MasterKey(Array((digits + "\n").utf8), origin: "m")
        _ = try MasterKey((0..<32).map { UInt8($0) }, origin: "m")
        for bad in ["", "00", String(repeating: "0g", count: 32), digits + "00"] {
            let error = #expect(throws: SecretError.self) { try MasterKey(Array(bad.utf8), origin: "m") }
            #expect(error?.description.contains("openssl rand -hex 32") == true)
        }
        #expect("\(try MasterKey(Array(digits.utf8), origin: "m"))" == "[key]")
    }

    private static func master(_ byte: UInt8) throws -> MasterKey {
        try MasterKey([UInt8](repeating: byte, count: 32), origin: "m")
    }

    @Test func aSealedKeyOpensForItsOwnerAlone() throws {
        let sealed = try Self.master(1).seal(try key(), for: Array("a".utf8))
        #expect(text(try Self.master(1).open(sealed, for: Array("a".utf8), named: "k")) == Self.secret)
        #expect(throws: SecretError.self) { try Self.master(2).open(sealed, for: Array("a".utf8), named: "k") }
        #expect(throws: SecretError.self) { try Self.master(1).open(sealed, for: Array("b".utf8), named: "k") }
        for at in sealed.indices {
            var damaged = sealed
            damaged[at] ^= 1
            #expect(throws: SecretError.self) { try Self.master(1).open(damaged, for: Array("a".utf8), named: "k") }
        }
        #expect(throws: SecretError.self) { try Self.master(1).open([], for: Array("a".utf8), named: "k") }
        #expect(try Self.master(1).seal(try key(), for: [1]) != (try Self.master(1).seal(try key(), for: [1])))
    }

    @Test func tenantsKeysAreKeptSealed() async throws {
        let records = MemoryRecords()
        let store = ProviderKeyStore(records)
        let at = Timestamp(milliseconds: 5)
        try await store.set(try key(), tenant: "acme", name: "groq", sealedWith: Self.master(1), at: at)
        try await store.set(try key("other-key"), tenant: "acme/x", name: "groq", sealedWith: Self.master(1), at: at)
        let found = try await store.key(tenant: "acme", name: "groq", openedWith: Self.master(1))
        #expect(found.map(text) == Self.secret)
        #expect(try await store.key(tenant: "acme", name: "openai", openedWith: Self.master(1)) == nil)
        await #expect(throws: SecretError.self) {
            _ = try await store.key(tenant: "acme", name: "groq", openedWith: Self.master(2))
        }
        #expect(try await store.list(tenant: "acme").map(\.fingerprint) == [try key().fingerprint])
        #expect(try await store.list().map(\.tenant) == ["acme", "acme/x"])
        for record in try await records.records(records.recordNames(prefix: "")) {
            let stored = String(decoding: record?.value ?? [], as: UTF8.self)
            #expect(!stored.contains(Self.secret))
            #expect(!stored.contains(Data(Self.secret.utf8).base64EncodedString()))
        }
        // One tenant's ciphertext in another's place opens for nobody.
        let stolen = try await records.records(["key/acme/groq"])[0]
        try await records.change(["key/mallory/groq"]) { $0[0] = stolen?.value }
        await #expect(throws: SecretError.self) {
            _ = try await store.key(tenant: "mallory", name: "groq", openedWith: Self.master(1))
        }
        #expect(try await store.remove(tenant: "acme", name: "groq"))
        #expect(try await !store.remove(tenant: "acme", name: "groq"))
        await #expect(throws: SecretError.self) { _ = try await store.remove(tenant: "acme", name: "a/b") }
    }
}

/// A folder that is removed with it.
private final class Folder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "keys-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String, mode: Int) throws -> String {
        let file = path + "/" + name
        try Data(text.utf8).write(to: URL(filePath: file))
        guard chmod(file, mode_t(mode)) == 0 else { throw SecretError("chmod") }
        return file
    }
}
