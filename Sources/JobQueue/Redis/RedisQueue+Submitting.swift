/// Opening, appending to and sealing batches.
extension RedisQueue {
    /// Requests that one batch can hold: a string of the server has room for so many prints.
    static let maxOrdinals = 1 << 26
    static let maxBodyBytes = 256 << 20
    /// What one script is given at most.
    private static let chunkRequests = 500
    static let chunkBytes = 4 << 20

    package func open(_ specification: BatchSpecification, at now: Timestamp) async throws(JobQueueError)
        -> BatchID
    { try await open(specification, as: options.makeID(), at: now) }

    /// - Parameter id: what a new batch is called; one that is there already is the same batch.
    func open(
        _ specification: BatchSpecification, as id: BatchID, at now: Timestamp
    ) async throws(JobQueueError) -> BatchID {
        try specification.check()
        func option(_ text: String?) -> RedisArgument { RedisArgument(text.map { "+" + $0 } ?? "-") }
        let reply = try await run(
            .open, at: now,
            [
                RedisArgument(id.value), RedisArgument(specification.tenant),
                RedisArgument(specification.priority), option(specification.completionWindowMs.map { "\($0)" }),
                option(specification.idempotencyKey), RedisArgument(specification.seed),
                RedisArgument(specification.maxAttempts), RedisArgument(specification.storedMetadata),
                option(specification.retentionMs.map { "\($0)" }),
            ])
        guard let id = reply.text else { throw unexpected(reply, "a batch's id") }
        return BatchID(id)
    }

    package func append(
        _ requests: [AppendedRequest], to batch: BatchID, from ordinal: Int, at now: Timestamp
    ) async throws(JobQueueError) {
        guard ordinal >= 0, ordinal <= Self.maxOrdinals, requests.count <= Self.maxOrdinals - ordinal else {
            let status = try await status(batch)
            throw .conflict(
                batch,
                "append of \(requests.count) requests from ordinal \(ordinal), but \(status.counts.total) are there "
                    + "and a batch holds at most \(Self.maxOrdinals)")
        }
        if let invalid = firstInvalid(requests) {
            // What was appended before is compared, not checked anew.
            let status = try await status(batch)
            let known = min(requests.count, max(0, status.counts.total - ordinal))
            if invalid.at >= known {
                try await append(requests[..<known], to: batch, from: ordinal, at: now)
                if status.state != .validating {
                    throw .wrongState(batch, status.state, "it takes no more requests")
                }
                throw invalid.error
            }
        }
        var from = requests.startIndex
        repeat {
            var (to, bytes) = (from, 0)
            while to < requests.endIndex, to - from < Self.chunkRequests, bytes < Self.chunkBytes {
                if case .accepted(let request) = requests[to] { bytes += request.body.count }
                to += 1
            }
            try await append(requests[from..<to], to: batch, from: ordinal + from, at: now)
            from = to
        } while from < requests.endIndex
    }

    private func firstInvalid(_ requests: [AppendedRequest]) -> (at: Int, error: JobQueueError)? {
        for (at, request) in requests.enumerated() {
            do throws(JobQueueError) {
                try request.check(maxBodyBytes: Self.maxBodyBytes)
            } catch {
                return (at, error)
            }
        }
        return nil
    }

    private func append(
        _ requests: ArraySlice<AppendedRequest>, to batch: BatchID, from ordinal: Int, at now: Timestamp
    ) async throws(JobQueueError) {
        var arguments = [argument(batch), RedisArgument(ordinal), RedisArgument(requests.count)]
        arguments.reserveCapacity(3 + 8 * requests.count)
        for request in requests { arguments += request.stored }
        let reply = try await run(.append, at: now, arguments)
        switch (reply.text, reply.array?.first?.text, reply.array?.last?.text) {
        case ("ok", _, _): return
        case ("unknown", _, _): throw .unknownBatch(batch)
        case (_, "gap", let total?):
            throw .conflict(
                batch, "append from ordinal \(ordinal), but \(total) requests are there: append without a gap")
        case (_, "differs", let at?):
            let line = Int(at).map { requests[requests.startIndex + $0 - ordinal].line } ?? 0
            throw .conflict(
                batch,
                "request \((Int(at) ?? 0) + 1) (line \(line)) was appended before with other content: "
                    + "has the input changed?")
        case (_, "state", let state?):
            throw .wrongState(batch, BatchState(rawValue: state) ?? .completed, "it takes no more requests")
        default: throw unexpected(reply, "the answer of append")
        }
    }

    package func seal(_ batch: BatchID, total: Int, at now: Timestamp) async throws(JobQueueError) {
        let reply = try await run(.seal, at: now, [argument(batch), RedisArgument(total)])
        switch (reply.text, reply.array?.first?.text, reply.array?.last?.text) {
        case ("ok", _, _): return
        case ("unknown", _, _): throw .unknownBatch(batch)
        case (_, "total", let found?):
            throw .conflict(batch, "sealed with \(total) requests, but \(found) were appended")
        case (_, "state", let state?):
            throw .wrongState(batch, BatchState(rawValue: state) ?? .completed, "it cannot be accepted any more")
        default: throw unexpected(reply, "the answer of seal")
        }
    }
}

extension AppendedRequest {
    /// Line of the input.
    var line: Int {
        switch self {
        case .accepted(let request): request.line
        case .refused(_, let line, _): line
        }
    }

    /// - Throws: `invalidArgument` for what no store takes.
    func check(maxBodyBytes: Int) throws(JobQueueError) {
        guard line >= 0 else { throw .invalidArgument("line \(line) is negative") }
        switch self {
        case .accepted(let request):
            try request.check()
            guard request.body.count <= maxBodyBytes, request.customID.utf8.count <= maxBodyBytes else {
                throw .invalidArgument(
                    "request \"\(request.customID)\" has \(request.body.count) bytes, at most \(maxBodyBytes) can be "
                        + "stored")
            }
        case .refused(_, let line, let outcome):
            try outcome.check("line \(line)", maxBodyBytes: maxBodyBytes)
            guard outcome.error != nil else {
                throw .invalidArgument("line \(line): a refused request needs an error for its outcome")
            }
        }
    }

    /// What a repeated append must match: 8 bytes, of an accepted request of all that it is, of a refused one of its
    /// name and line.
    private var print: [UInt8] {
        var hasher = XXH64()
        switch self {
        case .accepted(let request):
            hasher.update(
                Array("\(request.endpoint.rawValue) \(request.line) \(request.customID.utf8.count)\n".utf8))
            hasher.update(Array(request.customID.utf8))
            hasher.update(request.body)
        case .refused(let customID, let line, _):
            hasher.update(Array("refused \(line)\n".utf8))
            hasher.update(Array((customID ?? "line-\(line)").utf8))
        }
        return withUnsafeBytes(of: hasher.digest.bigEndian) { Array($0) }
    }

    /// Eight arguments, as the script `append` describes them.
    var stored: [RedisArgument] {
        switch self {
        case .accepted(let request):
            return [
                "1", RedisArgument(print), RedisArgument(request.customID), RedisArgument(request.line),
                RedisArgument(request.endpoint.rawValue), RedisArgument(request.model), RedisArgument(request.cost),
                RedisArgument(request.body),
            ]
        case .refused(let customID, let line, let outcome):
            let figures = MessagePack.array([
                "\(outcome.usage.promptTokens)", "\(outcome.usage.completionTokens)",
                "\(outcome.usage.cachedTokens)", outcome.backend, outcome.timings.storedText,
                "\(outcome.usage.costNanodollars)",
            ])
            return [
                "0", RedisArgument(print), RedisArgument(customID ?? "line-\(line)"), RedisArgument(line),
                customID == nil ? "0" : "1", RedisArgument(outcome.error?.statusCode ?? 0),
                RedisArgument(outcome.error?.storedText ?? ""), RedisArgument(figures),
            ]
        }
    }
}

/// As much of MessagePack as scripts are given: an array of a few texts.
///
/// Source: https://github.com/msgpack/msgpack/blob/master/spec.md (fixarray, str 32)
enum MessagePack {
    static func array(_ texts: [String]) -> [UInt8] {
        precondition(texts.count < 16, "a longer array begins otherwise")
        var bytes: [UInt8] = [0x90 | UInt8(texts.count)]
        for text in texts {
            bytes.append(0xDB)
            withUnsafeBytes(of: UInt32(text.utf8.count).bigEndian) { bytes += $0 }
            bytes += Array(text.utf8)
        }
        return bytes
    }
}
