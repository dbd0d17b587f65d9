import JobQueue

/// Brings an input's requests into an open batch and accepts it. May be repeated, and goes on where it was cut off:
/// a store recognises what it has.
struct BatchUpload {
    let queue: any JobQueue
    let batch: BatchID
    let now: @Sendable () -> Timestamp

    private static let chunkRequests = 500
    private static let chunkBytes = 4 << 20

    func send(_ input: BatchInput, defaults: RequestDefaults, lineBytesMax: Int) async throws {
        var requests = input.requests(defaults: defaults, lineBytesMax: lineBytesMax)
        var chunk: [AppendedRequest] = []
        var chunkBytes = 0
        var total = 0
        while let request = try requests.next() {
            chunk.append(request)
            if case .accepted(let request) = request { chunkBytes += request.body.count }
            guard chunk.count == Self.chunkRequests || chunkBytes > Self.chunkBytes else { continue }
            try await queue.append(chunk, to: batch, from: total, at: now())
            total += chunk.count
            chunk.removeAll(keepingCapacity: true)
            chunkBytes = 0
        }
        guard requests.fingerprint == input.fingerprint else {
            throw RunError.input("\(input.name) changed while it was read; run again when it is complete")
        }
        if !chunk.isEmpty { try await queue.append(chunk, to: batch, from: total, at: now()) }
        try await queue.seal(batch, total: total + chunk.count, at: now())
    }
}
