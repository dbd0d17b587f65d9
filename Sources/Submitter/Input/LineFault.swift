import JobQueue

/// What is wrong with one line of an input, before it is known as what the line fails.
struct LineFault: Error, Equatable {
    var code: String
    /// What is wrong and what to do, without file and line.
    var reason: String
    /// The field at fault.
    var parameter: String?
    var statusCode: Int

    static func json(_ reason: String) -> LineFault {
        LineFault(code: "invalid_json", reason: reason, parameter: nil, statusCode: 400)
    }

    static func request(_ reason: String, _ parameter: String? = nil) -> LineFault {
        LineFault(code: "invalid_request", reason: reason, parameter: parameter, statusCode: 400)
    }

    static func encoding(at offset: Int) -> LineFault {
        LineFault(
            code: "invalid_utf8",
            reason: "not UTF-8 at byte \(offset + 1) of the line; save the file as UTF-8", parameter: nil,
            statusCode: 400)
    }

    static func length(_ bytes: Int, limit: Int) -> LineFault {
        LineFault(
            code: "line_too_long",
            reason: "the line has \(bytes) bytes, more than the \(limit) that a request may have; shorten it",
            parameter: nil, statusCode: 413)
    }

    func refusal(customID: String?, file: String, line: Int) -> AppendedRequest {
        let error = OutcomeError(
            code: code, message: "\(file):\(line): \(reason)", parameter: parameter, statusCode: statusCode)
        return .refused(customID: customID, line: line, .failure(error))
    }

    /// Foreign text as messages may carry it: in quotes, on one line, of bounded length.
    static func quoted(_ text: String) -> String {
        let kept = text.unicodeScalars.prefix(60)
        let safe = kept.map { $0.properties.generalCategory == .control ? "?" : $0 }
        let isCut = text.unicodeScalars.prefix(61).count > safe.count
        return "'" + String(String.UnicodeScalarView(safe)) + (isCut ? "…" : "") + "'"
    }
}
