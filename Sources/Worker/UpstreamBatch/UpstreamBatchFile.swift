// Groq's Batch API: https://console.groq.com/docs/batch; OpenAI's, which it follows:
// https://platform.openai.com/docs/api-reference/batch

import JSON

/// The files of an upstream's batch API: requests, one a line, and what came of them. Lines are named by their number,
/// so that nothing of a client's names leaves the house.
enum UpstreamBatchFile {
    /// What one line of an output or error file says.
    struct Line: Equatable {
        var number: Int
        var status: Int
        var body: [UInt8]
    }

    static func line(_ number: Int, _ body: UpstreamBody) -> [UInt8] {
        Array(#"{"custom_id":"\#(number)","method":"POST","url":"/v1\#(body.path)","body":"#.utf8) + body.bytes
            + Array("}\n".utf8)
    }

    /// A form with the file and its purpose.
    /// - Parameter boundary: must not occur in the lines.
    static func form(_ lines: [UInt8], boundary: String) -> [UInt8] {
        func part(_ head: String) -> [UInt8] {
            Array("--\(boundary)\r\nContent-Disposition: form-data; \(head)\r\n\r\n".utf8)
        }
        var form = part(#"name="purpose""#) + Array("batch\r\n".utf8)
        form += part("name=\"file\"; filename=\"requests.jsonl\"\r\nContent-Type: application/jsonl")
        return form + lines + Array("\r\n--\(boundary)--\r\n".utf8)
    }

    /// What can be read of a result file; lines that cannot are as if they were not there.
    static func lines(_ file: [UInt8], count: Int) -> [Line] {
        file.split(separator: UInt8(ascii: "\n")).compactMap { text in
            guard let json = try? JSON(parsing: Array(text)),
                let number = json["custom_id"]?.string.flatMap({ Int($0) }), (0..<count).contains(number)
            else { return nil }
            if let response = json["response"], let status = response["status_code"]?.int {
                return Line(number: number, status: status, body: Array((response["body"] ?? .null).text.utf8))
            }
            // A line without a response has an error that no server answered with.
            let error: JSON = ["error": json["error"] ?? .null]
            return Line(number: number, status: 500, body: Array(error.text.utf8))
        }
    }
}
