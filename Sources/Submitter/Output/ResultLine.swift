// OpenAI's batch output lines: https://platform.openai.com/docs/api-reference/batch/request-output

import JSON
import JobQueue

/// Writes outcomes as OpenAI's batch output and error lines. The same record gives the same bytes whenever it
/// is written, so a file can be compared with the store, and repaired from it.
struct ResultLine {
    private let idPrefix: String
    private let requestIDPrefix: String
    private let inputName: String

    /// - Parameter inputName: the input as messages name it.
    init(batch: BatchID, inputName: String) {
        idPrefix = Self.idPrefix(of: batch)
        requestIDPrefix = "req_\(Self.digits(of: batch))_"
        self.inputName = inputName
    }

    /// What every line of a batch has near its start, and no line of another.
    static func idPrefix(of batch: BatchID) -> String { "batch_req_\(digits(of: batch))_" }

    private static func digits(of batch: BatchID) -> Substring {
        batch.value.hasPrefix("batch_") ? batch.value.dropFirst("batch_".count) : batch.value[...]
    }

    /// One line of JSON with its newline.
    func bytes(_ record: ResultRecord) -> [UInt8] {
        var line: [UInt8] = []
        line += "{\"id\":".utf8
        JSON.string(idPrefix + String(record.ordinal)).write(to: &line)
        line += ",\"custom_id\":".utf8
        JSON.string(record.customID).write(to: &line)
        line += ",\"response\":".utf8
        switch record.outcome.result {
        case .response(let statusCode, let body):
            writeResponse(record, statusCode, body, to: &line)
            line += ",\"error\":null".utf8
        case .error(let error):
            writeFailure(record, error, to: &line)
        }
        // One batch can have been computed in several places.
        line += ",\"backend\":".utf8
        let backend = record.outcome.backend
        (backend.isEmpty ? JSON.null : .string(backend)).write(to: &line)
        line += "}\n".utf8
        return line
    }

    private func writeResponse(
        _ record: ResultRecord, _ status: Int, _ body: [UInt8], to line: inout [UInt8]
    ) {
        line += "{\"status_code\":\(status),\"request_id\":".utf8
        JSON.string("\(requestIDPrefix)\(record.ordinal)_\(record.attempt)").write(to: &line)
        line += ",\"body\":".utf8
        // A newline inside JSON text can only be space between tokens; here it would break the line.
        let (newline, carriageReturn, space) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: " "))
        line += body.lazy.map { $0 == newline || $0 == carriageReturn ? space : $0 }
        line.append(UInt8(ascii: "}"))
    }

    private func writeFailure(_ record: ResultRecord, _ error: OutcomeError, to line: inout [UInt8]) {
        let message = located(error.message, record.line)
        let parameter: JSON = error.parameter.map { .string($0) } ?? .null
        // Of what never ran there is no response, as in OpenAI's files.
        if record.state == .failed {
            let body: JSON = [
                "error": [
                    "message": .string(message),
                    "type": error.statusCode < 500 ? "invalid_request_error" : "server_error",
                    "param": parameter, "code": .string(error.code),
                ]
            ]
            writeResponse(record, error.statusCode, Array(body.text.utf8), to: &line)
        } else {
            line += "null".utf8
        }
        let summary: JSON = [
            "code": .string(error.code), "message": .string(message), "param": parameter,
            "line": record.line > 0 ? .int(Int64(record.line)) : .null,
        ]
        line += ",\"error\":".utf8
        summary.write(to: &line)
    }

    /// Every message says where the request came from, whoever wrote it.
    private func located(_ message: String, _ line: Int) -> String {
        let place = "\(inputName):\(line): "
        guard line > 0, !message.hasPrefix(place) else { return message }
        // The store knows lines but not files.
        let own = "line \(line): "
        return place + (message.hasPrefix(own) ? message.dropFirst(own.count) : message[...])
    }
}
