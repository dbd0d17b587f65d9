import Foundation
import JSON
import JobQueue

/// Keys that tenants bring, sealed in the queue's store. What is stored is ciphertext and what tells one from another;
/// requests and batches carry only names.
package struct ProviderKeyStore: Sendable {
    package struct Entry: Sendable, Equatable {
        package var tenant: String
        package var name: String
        package var fingerprint: String
        package var setAt: Timestamp
    }

    private let records: any RecordStore
    private static let prefix = "key/"

    package init(_ records: any RecordStore) { self.records = records }

    /// Sets or replaces a tenant's key.
    package func set(
        _ key: ProviderKey, tenant: String, name: String, sealedWith master: MasterKey, at now: Timestamp
    ) async throws {
        let record = try Self.record(tenant, name)
        let sealed = try master.seal(key, for: Array(record.utf8))
        let value = JSON.object(
            JSONObject([
                (name: "tenant", value: .string(tenant)), (name: "name", value: .string(name)),
                (name: "fingerprint", value: .string(key.fingerprint)),
                (name: "set_at", value: .int(now.milliseconds)),
                (name: "sealed", value: .string(Data(sealed).base64EncodedString())),
            ]))
        let bytes = Array(value.text.utf8)
        try await records.change([record]) { $0[0] = bytes }
    }

    /// - Returns: nil when the tenant has brought no key of that name.
    package func key(tenant: String, name: String, openedWith master: MasterKey) async throws -> ProviderKey? {
        let record = try Self.record(tenant, name)
        guard let stored = try await records.records([record]).first ?? nil else { return nil }
        let what = "tenant \(tenant)'s key \(name)"
        guard let text = (try? JSON(parsing: stored.value))?["sealed"]?.string,
            let sealed = Data(base64Encoded: text)
        else { throw SecretError("\(what) is damaged: set it again") }
        return try master.open(Array(sealed), for: Array(record.utf8), named: what)
    }

    /// - Returns: whether there was one.
    package func remove(tenant: String, name: String) async throws -> Bool {
        let record = try Self.record(tenant, name)
        return try await records.change([record]) { values in
            defer { values[0] = nil }
            return values[0] != nil
        }
    }

    /// Of one tenant, or of all; by tenant and name.
    package func list(tenant: String? = nil) async throws -> [Entry] {
        let prefix = Self.prefix + (tenant.map { Self.escaped($0) + "/" } ?? "")
        let names = try await records.recordNames(prefix: prefix)
        let entries = try await records.records(names).compactMap { (record: StoredRecord?) -> Entry? in
            guard let record, let value = try? JSON(parsing: record.value), let tenant = value["tenant"]?.string,
                let name = value["name"]?.string
            else { return nil }
            return Entry(
                tenant: tenant, name: name, fingerprint: value["fingerprint"]?.string ?? "",
                setAt: Timestamp(milliseconds: Int64(value["set_at"]?.int ?? 0)))
        }
        return entries.sorted { a, b in
            let (x, y) = (Array(a.tenant.utf8), Array(b.tenant.utf8))
            return x == y ? a.name < b.name : x.lexicographicallyPrecedes(y)
        }
    }

    private static func record(_ tenant: String, _ name: String) throws(SecretError) -> String {
        let isPlain = name.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
        }
        guard isPlain, (1...64).contains(name.utf8.count) else {
            throw SecretError("a key's name has 1 to 64 of a-z 0-9 - _ . (got \(name.utf8.count) bytes)")
        }
        guard !tenant.isEmpty, tenant.utf8.count <= 128 else {
            throw SecretError("a tenant's name has 1 to 128 bytes")
        }
        return prefix + escaped(tenant) + "/" + name
    }

    /// So that no tenant's name reaches into another's.
    private static func escaped(_ tenant: String) -> String {
        tenant.utf8.map { byte in
            let isPlain = byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "%")
            return isPlain ? String(UnicodeScalar(byte)) : "%" + String(byte, radix: 16)
        }.joined()
    }
}
