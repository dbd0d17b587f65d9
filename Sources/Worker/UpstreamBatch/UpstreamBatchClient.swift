import JSON
import Foundation

/// What an upstream's batch API is asked.
struct UpstreamBatchClient: Sendable {
    struct State: Sendable, Equatable {
        var id: String
        var status: String
        var inputFile: String?
        var outputFile: String?
        var errorFile: String?
        /// Of a batch that was refused as a whole: line (from 1) and why.
        var errors: [(line: Int?, message: String)]

        static func == (a: State, b: State) -> Bool { a.id == b.id && a.status == b.status }

        var isOver: Bool { ["completed", "failed", "expired", "cancelled"].contains(status) }
    }

    struct Refusal: Error, CustomStringConvertible {
        var status: Int
        var description: String
        /// Asking again would not help.
        var isFinal: Bool { [400, 404, 405, 413, 415, 422].contains(status) }
        /// The upstream does not know what was asked for.
        var isAbsence: Bool { [404, 410].contains(status) }
    }

    let upstream: Upstream
    let target: UpstreamTarget
    static let maxFileBytes = 512 << 20
    private static let maxPages = 200

    func upload(_ lines: [UInt8]) async throws(Refusal) -> String {
        let boundary = "millrace-\(UUID().uuidString)"
        var request = UpstreamRequest(
            baseURL: target.baseURL, path: "/files", body: UpstreamBatchFile.form(lines, boundary: boundary),
            key: target.key)
        request.contentType = "multipart/form-data; boundary=\(boundary)"
        return try text(await json(request), "id")
    }

    func create(_ file: String, endpoint: String, window: String, token: String) async throws(Refusal) -> String {
        let body: JSON = [
            "input_file_id": .string(file), "endpoint": .string(endpoint), "completion_window": .string(window),
            "metadata": ["millrace": .string(token)],
        ]
        let request = UpstreamRequest(
            baseURL: target.baseURL, path: "/batches", body: Array(body.text.utf8), key: target.key)
        return try text(await json(request), "id")
    }

    /// Looks for a batch by its token; nil: it was never created.
    func find(_ token: String) async throws(Refusal) -> String? {
        var after = ""
        for _ in 0..<Self.maxPages {
            let page = try await json(get("/batches?limit=100\(after)"))
            let all = page["data"]?.array ?? []
            if let found = all.first(where: { $0["metadata"]?["millrace"]?.string == token }) {
                return try text(found, "id")
            }
            guard page["has_more"]?.bool == true, let last = all.last?["id"]?.string else { return nil }
            after = "&after=\(last)"
        }
        // Taken for absent it might be created twice.
        let most = Self.maxPages * 100
        throw Refusal(status: 0, description: "\(target.name) lists more than \(most) batches, and ours may be older")
    }

    func state(_ id: String) async throws(Refusal) -> State {
        let json = try await json(get("/batches/\(id)"))
        return State(
            id: id, status: try text(json, "status"), inputFile: json["input_file_id"]?.string,
            outputFile: json["output_file_id"]?.string,
            errorFile: json["error_file_id"]?.string,
            errors: (json["errors"]?["data"]?.array ?? []).map { ($0["line"]?.int, $0["message"]?.string ?? "") })
    }

    func content(_ file: String) async throws(Refusal) -> [UInt8] {
        var request = get("/files/\(file)/content")
        request.maxReplyBytes = Self.maxFileBytes
        return try await reply(request).body
    }

    /// What is gone already is no error.
    func delete(_ file: String) async throws(Refusal) {
        do throws(Refusal) {
            _ = try await reply(
                UpstreamRequest(.delete, baseURL: target.baseURL, path: "/files/\(file)", key: target.key))
        } catch {
            guard error.isAbsence else { throw error }
        }
    }

    func cancel(_ id: String) async throws(Refusal) {
        _ = try await reply(UpstreamRequest(
            baseURL: target.baseURL, path: "/batches/\(id)/cancel", body: Array("{}".utf8), key: target.key))
    }

    private func get(_ path: String) -> UpstreamRequest {
        UpstreamRequest(.get, baseURL: target.baseURL, path: path, key: target.key)
    }

    private func reply(_ request: UpstreamRequest) async throws(Refusal) -> UpstreamReply {
        var request = request
        request.timeouts = target.timeouts
        let reply = await upstream.send(request)
        if let failure = reply.failure { throw Refusal(status: 0, description: "\(target.name): \(failure.message)") }
        // Deleting may be answered with nothing.
        guard (200...204).contains(reply.status) else {
            let words = UpstreamErrorBody(reply)
            throw Refusal(
                status: reply.status, description: "\(target.name) answered \(reply.status): \(words.message)")
        }
        return reply
    }

    private func json(_ request: UpstreamRequest) async throws(Refusal) -> JSON {
        let reply = try await reply(request)
        guard let json = try? JSON(parsing: reply.body) else {
            throw Refusal(status: 0, description: "\(target.name): the answer to \(request.path) is no JSON")
        }
        return json
    }

    private func text(_ json: JSON, _ name: String) throws(Refusal) -> String {
        guard let text = json[name]?.string else {
            throw Refusal(status: 0, description: "\(target.name): the answer has no '\(name)'")
        }
        return text
    }
}
