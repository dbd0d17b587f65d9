import JSON
import JobQueue
import Testing

@testable import Submitter

@Suite struct BatchFileTests {
    let folder = TemporaryFolder()

    private func read(
        _ bytes: [UInt8], name: String = "in.jsonl", defaults: RequestDefaults = RequestDefaults(),
        lineBytesMax: Int = BatchFile.lineBytesMax
    ) throws -> [AppendedRequest] {
        let path = try folder.write(name, bytes)
        let input = try BatchInput(path: path, spoolFolder: folder.path)
        var file = input.requests(defaults: defaults, lineBytesMax: lineBytesMax)
        var requests: [AppendedRequest] = []
        while let request = try file.next() { requests.append(request) }
        #expect(file.fingerprint == input.fingerprint)
        return requests
    }

    private func read(_ text: String, name: String = "in.jsonl") throws -> [AppendedRequest] {
        try read(Array(text.utf8), name: name)
    }

    private func accepted(_ id: String, _ endpoint: Endpoint, _ body: String, line: Int) -> AppendedRequest {
        // The estimate is tested where it is made.
        let object = (try? JSON(parsing: body).object) ?? JSONObject()
        let request = Request(customID: id, endpoint: endpoint, body: object, line: line)
        #expect(String(decoding: request.body, as: UTF8.self) == body)
        return .accepted(request)
    }

    @Test func readsOpenAILines() throws {
        let text = #"""
            {"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"messages":[],"n":2}}
            {"url":"/v1/completions","custom_id":"b","body":{"prompt":[1,2]},"method":"POST"}
            """#
        #expect(
            try read(text) == [
                accepted("a", .chatCompletions, #"{"messages":[],"n":2}"#, line: 1),
                accepted("b", .completions, #"{"prompt":[1,2]}"#, line: 2),
            ])
    }

    @Test func readsShorthandLines() throws {
        let text = #"""
            {"prompt":"x","max_tokens":5}
            {"messages":[{"role":"user","content":"é"}],"custom_id":"c"}
            """#
        #expect(
            try read(text) == [
                accepted("line-1", .completions, #"{"prompt":"x","max_tokens":5}"#, line: 1),
                accepted("c", .chatCompletions, #"{"messages":[{"role":"user","content":"é"}]}"#, line: 2),
            ])
    }

    @Test func readsPromptsOutOfText() throws {
        let read = try read(" one \"1\"\n\n\t\r\ntwo\r\nthree", name: "PROMPTS.TXT")
        #expect(
            read == [
                accepted("line-1", .completions, #"{"prompt":" one \"1\""}"#, line: 1),
                accepted("line-4", .completions, #"{"prompt":"two"}"#, line: 4),
                accepted("line-5", .completions, #"{"prompt":"three"}"#, line: 5),
            ])
    }

    @Test(arguments: ["", "\n", " \t\r\n\n", "\u{FEFF}", "\u{FEFF}\n"])
    func blankInputsHaveNoRequests(_ text: String) throws { #expect(try read(text).isEmpty) }

    @Test func byteOrderMarkLineEndsAndMissingNewlineMakeNoDifference() throws {
        let plain = try read("{\"prompt\":\"x\"}\n{\"prompt\":\"y\"}\n")
        #expect(try read("\u{FEFF}{\"prompt\":\"x\"}\r\n{\"prompt\":\"y\"}") == plain)
        #expect(plain.count == 2)
    }

    @Test(arguments: [1, 2, 3, 7, 64])
    func piecesMakeNoDifference(_ pieceBytes: Int) throws {
        let text = "\u{FEFF}ab\r\n\n0123456789\r\n0123456789x\né\n" + String(repeating: "z", count: 100) + "\nlast"
        let path = try folder.write("pieces", text)
        var reader = LineReader(try PosixFile.open(path, .read), lineBytesMax: 10, pieceBytes: pieceBytes)
        var lines: [LineReader.Content] = []
        while let (number, content) = try reader.next() {
            lines.append(content)
            #expect(number == lines.count)
        }
        let expected: [LineReader.Content] = [
            .text(Array("ab".utf8)), .text([]), .text(Array("0123456789".utf8)), .tooLong(bytes: 11),
            .text(Array("é".utf8)), .tooLong(bytes: 100), .text(Array("last".utf8)),
        ]
        #expect(lines == expected)
        #expect(reader.fingerprint.lines == 7)
        #expect(reader.fingerprint.bytes == Int64(text.utf8.count))
    }

    @Test func defaultsApplyWhereALineIsSilent() throws {
        let defaults = RequestDefaults().with("max_tokens", 9).with("temperature", 0.5).with("top_k", nil)
        let lines = [
            (#"{"prompt":"x"}"#, #"{"prompt":"x","max_tokens":9,"temperature":0.5}"#),
            (#"{"prompt":"x","max_tokens":1,"temperature":0}"#, #"{"prompt":"x","max_tokens":1,"temperature":0}"#),
            (#"{"prompt":"x","max_completion_tokens":1}"#,
             #"{"prompt":"x","max_completion_tokens":1,"temperature":0.5}"#),
            (#"{"prompt":"x","temperature":null}"#, #"{"prompt":"x","temperature":0.5,"max_tokens":9}"#),
        ]
        let text = lines.map(\.0).joined(separator: "\n")
        let expected = lines.enumerated().map { accepted("line-\($0 + 1)", .completions, $1.1, line: $0 + 1) }
        #expect(try read(Array(text.utf8), defaults: defaults) == expected)
    }

    @Test func longLinesAreSkippedInBoundedMemory() throws {
        var bytes = Array("{\"prompt\":\"a\"}\n".utf8)
        bytes += Array("{\"prompt\":\"".utf8) + [UInt8](repeating: 0x78, count: 3 << 20) + Array("\"}\n".utf8)
        bytes += Array("{\"prompt\":\"b\"}\n".utf8)
        let requests = try read(bytes, lineBytesMax: 1 << 20)
        #expect(requests.count == 3)
        #expect(requests[0] == accepted("line-1", .completions, #"{"prompt":"a"}"#, line: 1))
        #expect(requests[2] == accepted("line-3", .completions, #"{"prompt":"b"}"#, line: 3))
        guard case .refused(nil, 2, let outcome) = requests[1] else { throw Unexpected(requests[1]) }
        #expect(outcome.error?.code == "line_too_long")
        #expect(outcome.error?.message.contains("3145741 bytes") == true)
    }

    @Test func refusalsKeepTheNameWhereThereIsOne() throws {
        let requests = try read(#"{"custom_id":"mine","prompt":"x","messages":[]}"#)
        guard case .refused("mine", 1, _) = requests.first else { throw Unexpected(requests) }
    }

    @Test func namesAreComparedByBytes() throws {
        // Precomposed and decomposed: equal to Swift, different names to JSON.
        let text = "{\"prompt\":\"x\",\"logit_bias\":{\"\u{E9}\":1,\"e\u{301}\":2}}"
        guard case .accepted = try read(text).first else { throw Unexpected(text) }
    }

    @Test(arguments: [
        ([0x1F, 0x8B, 8], "gzip"), ([0xFF, 0xFE, 0x7B, 0], "UTF-16"), ([0x28, 0xB5, 0x2F, 0xFD], "zstd"),
        (Array("PAR1".utf8), "Parquet"), (Array("PK\u{3}\u{4}".utf8), "zip"),
    ] as [([UInt8], String)])
    func foreignFormatsAreNamed(_ bytes: [UInt8], _ name: String) throws {
        let path = try folder.write("in.jsonl", bytes)
        do {
            _ = try BatchInput(path: path, spoolFolder: folder.path)
            Issue.record("accepted \(name)")
        } catch {
            #expect(error.description.contains(name))
        }
    }

    @Test func missingInputsAndFoldersAreErrors() throws {
        #expect(throws: BatchInputError.self) {
            try BatchInput(path: folder("none"), spoolFolder: folder.path)
        }
        #expect(throws: BatchInputError.self) { try BatchInput(path: folder.path, spoolFolder: folder.path) }
    }

    @Test func fingerprintsAreStable() throws {
        // From the reference implementation, over 0, 1, 2 … modulo 251.
        for (count, digest) in XXH64Vectors.digests {
            let bytes = (0..<count).map { UInt8($0 % 251) }
            for piece in [1, 5, 32, 1000] {
                var hasher = XXH64()
                for start in stride(from: 0, to: count, by: piece) {
                    hasher.update(Array(bytes[start..<min(count, start + piece)]))
                }
                #expect(hasher.digest == digest, "\(count) bytes in pieces of \(piece)")
            }
        }
    }
}

struct Unexpected: Error {
    let value: String
    init(_ value: some Any) { self.value = String(describing: value) }
}
