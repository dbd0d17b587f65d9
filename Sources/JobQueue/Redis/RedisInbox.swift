import JSON

/// Batches that clients in other languages hand in with plain commands: JSON documents in a list, which workers take in
/// through the same calls as everybody (docs/redis-keys.md describes them). A document leaves the list when what it
/// asks for is done; several workers may do it at once, since all of it may be repeated.
struct InboxDocument {
    var batch: BatchID
    var specification: BatchSpecification
    /// Ordinal of the first of `requests`.
    var from: Int
    var requests: [AppendedRequest]
    /// Requests that the batch has, when it is whole.
    var total: Int?
    var cancels: Bool

    private static let known: Set = [
        "batch", "tenant", "priority", "window_ms", "retention_ms", "max_attempts", "seed", "metadata", "from",
        "requests", "total", "cancel",
    ]

    /// - Throws: what is wrong with the document, for its sender.
    init(parsing text: [UInt8]) throws(InboxFault) {
        guard let json = try? JSON(parsing: String(decoding: text, as: UTF8.self)), let object = json.object else {
            throw InboxFault(batch: nil, what: "the document is not a JSON object")
        }
        guard let id = json["batch"]?.string, RedisQueue.isPossible(BatchID(id)) else {
            throw InboxFault(
                batch: nil, what: "'batch' must name the batch: 1 to 128 letters, digits, '_' or '-', chosen at random")
        }
        func fault(_ what: String) -> InboxFault { InboxFault(batch: id, what: what) }
        if let name = object.names.first(where: { !Self.known.contains($0) }) {
            throw fault("unknown field '\(name.prefix(60))'; known are \(Self.known.sorted().joined(separator: ", "))")
        }
        func int(_ name: String) throws(InboxFault) -> Int? {
            guard let value = json[name], !value.isNull else { return nil }
            guard let number = value.int else { throw fault("'\(name)' must be a whole number") }
            return number
        }
        var specification = BatchSpecification()
        if let tenant = json["tenant"] {
            guard let name = tenant.string else { throw fault("'tenant' must be a string") }
            specification.tenant = name
        }
        specification.priority = try int("priority") ?? 0
        specification.completionWindowMs = try int("window_ms").map(Int64.init)
        specification.retentionMs = try int("retention_ms").map(Int64.init)
        specification.maxAttempts = try int("max_attempts") ?? specification.maxAttempts
        specification.seed = UInt64(bitPattern: Int64(try int("seed") ?? 0))
        for member in json["metadata"]?.object?.members ?? [] {
            guard let value = member.value.string else { throw fault("'metadata' must be an object of strings") }
            specification.metadata[member.name] = value
        }
        self.specification = specification
        batch = BatchID(id)
        from = try int("from") ?? 0
        total = try int("total")
        cancels = json["cancel"]?.bool ?? false
        requests = []
        if let list = json["requests"] {
            guard let elements = list.array else { throw fault("'requests' must be an array") }
            for (at, element) in elements.enumerated() {
                requests.append(Self.request(element, line: max(0, from) + at + 1))
            }
        }
    }

    /// A request as OpenAI's batch lines have it; what is no such thing fails by itself (I7).
    private static func request(_ json: JSON, line: Int) -> AppendedRequest {
        let name = json["custom_id"]?.string
        func refusal(_ message: String, _ field: String?) -> AppendedRequest {
            .refused(
                customID: name, line: line,
                .failure(
                    OutcomeError(
                        code: "invalid_request", message: "request \(line): \(message)", parameter: field)))
        }
        guard json.object != nil else { return refusal("must be a JSON object", nil) }
        guard let name, !name.isEmpty else { return refusal("'custom_id' is missing", "custom_id") }
        guard let endpoint = json["url"]?.string.flatMap(Endpoint.init) else {
            let known = Endpoint.allCases.map(\.rawValue).joined(separator: " or ")
            return refusal("'url' must be \(known)", "url")
        }
        guard let body = json["body"]?.object else { return refusal("'body' must be an object", "body") }
        return .accepted(Request(customID: name, endpoint: endpoint, body: body, line: line))
    }
}

/// Why a document of the inbox is not taken.
struct InboxFault: Error {
    var batch: String?
    var what: String
}

extension RedisQueue {
    /// Taken in by one call at most.
    private static let chunkDocuments = 16
    /// Refusals that are kept for their senders.
    private static let maxRefusals: Int64 = 10_000

    /// Takes in what clients put into the inbox. Returns how many documents.
    func admit(at now: Timestamp) async throws(JobQueueError) -> Int {
        for taken in 0..<Self.chunkDocuments {
            guard let document = try await call(["LINDEX", RedisArgument(keys.inbox), "0"]).bytes else { return taken }
            var fault: InboxFault?
            var failure: JobQueueError?
            do throws(InboxFault) {
                failure = try await admit(InboxDocument(parsing: document), at: now)
            } catch {
                fault = error
            }
            if let failure { throw failure }
            if let fault { try await refuse(fault) }
            _ = try await call(["LREM", RedisArgument(keys.inbox), "1", RedisArgument(document)])
        }
        return Self.chunkDocuments
    }

    /// - Returns: a failure of the store, which leaves the document where it is.
    /// - Throws: what the store says against the document.
    private func admit(
        _ document: InboxDocument, at now: Timestamp
    ) async throws(InboxFault) -> JobQueueError? {
        do throws(JobQueueError) {
            if document.cancels {
                try await cancel(document.batch, at: now)
            } else {
                _ = try await open(document.specification, as: document.batch, at: now)
                try await append(document.requests, to: document.batch, from: document.from, at: now)
                if let total = document.total { try await seal(document.batch, total: total, at: now) }
            }
            return nil
        } catch {
            switch error {
            case .unavailable, .unusableStore: return error
            case .unknownBatch, .wrongState, .conflict, .invalidArgument:
                throw InboxFault(batch: document.batch.value, what: "\(error)")
            }
        }
    }

    private func refuse(_ fault: InboxFault) async throws(JobQueueError) {
        let name = RedisArgument(keys.refused)
        guard try await call(["HLEN", name]).int ?? 0 < Self.maxRefusals else { return }
        _ = try await call(["HSET", name, RedisArgument(fault.batch ?? "?"), RedisArgument(fault.what)])
    }
}
