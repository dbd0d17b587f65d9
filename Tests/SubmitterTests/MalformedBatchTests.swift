import JobQueue
import Testing

@testable import Submitter

@Suite struct MalformedBatchTests {
    @Test(arguments: MalformedLine.all)
    func eachIsRefusedWithItsPlaceAndReason(_ line: MalformedLine) throws {
        var reader = BatchLine(file: "in.jsonl", defaults: RequestDefaults())
        guard case .refused(_, 17, let outcome) = reader.request(json: line.bytes, number: 17) else {
            throw Unexpected("accepted: \(line)")
        }
        let error = try #require(outcome.error)
        #expect(error.code == line.code)
        #expect(error.message.hasPrefix("in.jsonl:17: "))
        #expect(error.message.contains(line.says), "\(error.message)")
        #expect(error.statusCode == 400)
        // One line of bounded length, whatever was in there.
        #expect(error.message.utf8.count < 600)
        #expect(!error.message.unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    /// All kinds of bad lines among good ones: each bad one fails alone, with its line, and the good ones complete.
    @Test(arguments: [1, 2] as [UInt64])
    func badLinesHurtNobodyElse(_ seed: UInt64) async throws {
        var generator = SeededGenerator(state: seed)
        var input: [UInt8] = []
        var expected: [Int: MalformedLine] = [:]
        var goodLines: Set<Int> = []
        var bad = MalformedLine.all.shuffled(using: &generator)
        #expect(bad.count >= 100)
        var number = 0
        while !bad.isEmpty || goodLines.count < 150 {
            number += 1
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: break  // a blank line
            case 1, 2:
                goodLines.insert(number)
                let body = "\"messages\":[{\"role\":\"user\",\"content\":\"good \(number)\"}]"
                input += Array("{\"custom_id\":\"good-\(number)\",\(body)}".utf8)
            default:
                guard let line = bad.popLast() else { break }
                expected[number] = line
                input += line.bytes
            }
            input += Array((Bool.random(using: &generator) ? "\n" : "\r\n").utf8)
        }
        let run = try TestRun(input)
        let summary = try await run()

        #expect(!summary.allCompleted)
        #expect(summary.counts.completed == goodLines.count)
        #expect(summary.counts.failed == expected.count)
        #expect(summary.counts.total == goodLines.count + expected.count)
        #expect(summary.errors.values.reduce(0, +) == expected.count)
        #expect(try Set(run.customIDs()) == Set(goodLines.map { "good-\($0)" }))
        #expect(try run.lines().count == goodLines.count)

        let errors = try run.lines("out.errors.jsonl")
        #expect(errors.count == expected.count)
        for line in errors {
            let error = line["error"]
            let number = try #require(error?["line"]?.int)
            let removed = expected.removeValue(forKey: number)
            let malformed = try #require(removed)
            #expect(error?["code"]?.string == malformed.code)
            #expect(error?["message"]?.string?.contains(":\(number): ") == true)
            #expect(error?["message"]?.string?.contains(malformed.says) == true)
            #expect(line["response"]?["status_code"]?.int == 400)
        }
        #expect(expected.isEmpty)
    }

    @Test func linesThatOnlyTheWorkerRefusesCarryTheirPlaceToo() async throws {
        let run = try TestRun("\n{\"prompt\":17}\n")
        let summary = try await run()
        #expect(summary.errors == ["invalid_request": 1])
        let line = try #require(run.lines("out.errors.jsonl").first)
        #expect(line["custom_id"]?.string == "line-2")
        #expect(line["error"]?["line"]?.int == 2)
        #expect(line["error"]?["message"]?.string == run.folder("in.jsonl") + ":2: no prompt that is text")
    }

    @Test func aNameGivenTwiceFailsTheSecond() async throws {
        let run = try TestRun("{\"custom_id\":\"a\",\"prompt\":\"x\"}\n{\"custom_id\":\"a\",\"prompt\":\"y\"}\n")
        let summary = try await run()
        #expect(summary.errors == ["duplicate_custom_id": 1])
        #expect(try run.customIDs() == ["a"])
        #expect(try run.lines("out.errors.jsonl").first?["error"]?["line"]?.int == 2)
    }
}
