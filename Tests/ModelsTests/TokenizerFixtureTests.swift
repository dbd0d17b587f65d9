import Foundation
import JSON
import Models
import Testing

/// Random tokenizers, run by the tokenizers library (`Tests/Fixtures/tokenizer_cases.py`): ours must do the same.
/// `MILLRACE_TOKENIZER_CASES` names another file of such cases, for comparing many more.
@Suite struct TokenizerFixtureTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let number: Int
        let json: JSON
        var testDescription: String { "line \(number)" }
    }

    static let cases: [Case] = {
        let environment = ProcessInfo.processInfo.environment
        let path = environment["MILLRACE_TOKENIZER_CASES"] ?? Fixtures.folder + "/tokenizers.jsonl"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        let lines = text.split(separator: "\n").enumerated()
        return lines.compactMap { number, line in
            (try? JSON(parsing: String(line))).map { Case(number: number + 1, json: $0) }
        }
    }()

    @Test func casesAreThere() { #expect(Self.cases.count >= 80) }

    @Test(arguments: cases)
    func encodesLikeTheLibrary(_ test: Case) throws {
        let tokenizer = try TokenizerLoader.make(tokenizerJSON: try #require(test.json["tokenizer"]))
        for (i, line) in (test.json["encode"]?.array ?? []).enumerated() {
            let text = try #require(line["text"]?.string)
            let note = "\(test.testDescription), text \(i): \(text.debugDescription)"
            let ids = tokenizer.encode(text, parseSpecial: true, addSpecial: true)
            #expect(ids == Self.ids(line["ids"]), "\(note)")
            let plain = tokenizer.encode(text, parseSpecial: false, addSpecial: false)
            #expect(plain == Self.ids(line["plain"]), "\(note), special tokens not parsed")
        }
    }

    @Test(arguments: cases)
    func decodesLikeTheLibrary(_ test: Case) throws {
        let tokenizer = try TokenizerLoader.make(tokenizerJSON: try #require(test.json["tokenizer"]))
        for line in test.json["decode"]?.array ?? [] {
            let ids = Self.ids(line["ids"])
            for (field, skipping) in [("text", false), ("skipping", true)] {
                let expected = Array(try #require(line[field]?.string).utf8)
                let note = "\(test.testDescription), \(field) of \(ids)"
                #expect(Array(tokenizer.decode(ids, skipSpecial: skipping).utf8) == expected, "\(note)")
                var stream = tokenizer.makeStreamDecoder(skipSpecial: skipping)
                let parts = ids.map { stream.push($0) } + [stream.finish()]
                #expect(Array(parts.joined().utf8) == expected, "\(note), one at a time")
            }
        }
    }

    static func ids(_ json: JSON?) -> [Int32] { (json?.array ?? []).compactMap { $0.int.map(Int32.init) } }
}
