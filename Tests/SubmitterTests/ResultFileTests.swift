import Foundation
import JSON
import JobQueue
import Testing

@testable import Submitter

@Suite struct ResultFileTests {
    let folder = TemporaryFolder()
    static let batch = BatchID("batch_0123456789abcdef")

    static func record(_ ordinal: Int, _ outcome: Outcome, _ state: RequestState = .completed) -> ResultRecord {
        ResultRecord(
            cursor: ResultCursor(Int64(ordinal)), ordinal: ordinal, customID: "id-\(ordinal)", line: ordinal + 1,
            state: state, attempt: 2, settledAt: Timestamp(milliseconds: 5), outcome: outcome)
    }

    static func good(_ ordinal: Int) -> ResultRecord {
        record(ordinal, Outcome(result: .response(statusCode: 200, body: Array("{\"n\":\(ordinal)}".utf8))))
    }

    static func bad(_ ordinal: Int) -> ResultRecord {
        record(ordinal, .failure(OutcomeError(code: "invalid_request", message: "no", parameter: "p")), .failed)
    }

    private func line(_ record: ResultRecord) -> String {
        String(decoding: ResultLine(batch: Self.batch, inputName: "in.jsonl").bytes(record), as: UTF8.self)
    }

    private func write(_ records: [ResultRecord]) throws {
        let places = ResultPlaces(output: folder("out.jsonl"))
        let file = try ResultFile(places, batch: Self.batch, inputName: "in.jsonl")
        try file.append(records)
        try file.endReplay()
        try file.finish()
    }

    private func text(_ name: String) throws -> String { String(decoding: try folder.bytes(name), as: UTF8.self) }

    @Test func linesAreAsOpenAIWritesThem() {
        #expect(
            line(Self.good(7)) == #"""
                {"id":"batch_req_0123456789abcdef_7","custom_id":"id-7","response":{"status_code":200,"request_id":"\#
                req_0123456789abcdef_7_2","body":{"n":7}},"error":null,"backend":null}

                """#)
        #expect(
            line(Self.bad(0)) == #"""
                {"id":"batch_req_0123456789abcdef_0","custom_id":"id-0","response":{"status_code":400,"request_id":"\#
                req_0123456789abcdef_0_2","body":{"error":{"message":"in.jsonl:1: no","type":"invalid_request_error",\#
                "param":"p","code":"invalid_request"}}},"error":{"code":"invalid_request","message":"in.jsonl:1: no",\#
                "param":"p","line":1},"backend":null}

                """#)
    }

    @Test func whatNeverRanHasNoResponse() throws {
        let error = OutcomeError(code: "expired", message: "too late", statusCode: 408)
        let value = try JSON(parsing: line(Self.record(3, .failure(error), .expired)))
        #expect(value["response"] == .null)
        #expect(value["error"]?["code"]?.string == "expired")
    }

    @Test func bodiesOfManyLinesBecomeOne() {
        let body = Array("{\n  \"a\": \"x\\ny\"\r\n}".utf8)
        let text = line(Self.record(0, Outcome(result: .response(statusCode: 200, body: body))))
        #expect(text.utf8.count { $0 == UInt8(ascii: "\n") } == 1)
        #expect(text.contains(#""body":{   "a": "x\ny"  }"#))
    }

    @Test func errorsGetAFileOnlyWhenThereAreAny() throws {
        try write([Self.good(0), Self.good(1)])
        #expect(folder.names == ["out.jsonl"])
        try write([Self.good(0), Self.good(1), Self.bad(2)])
        #expect(folder.names == ["out.errors.jsonl", "out.jsonl"])
        #expect(try text("out.errors.jsonl") == line(Self.bad(2)))
        try write([Self.good(0)])
        #expect(folder.names == ["out.jsonl"])
        #expect(try text("out.jsonl") == line(Self.good(0)))
    }

    @Test func noResultsAreAnEmptyOutput() throws {
        try write([])
        #expect(try text("out.jsonl") == "")
    }

    /// Whatever has happened to the file, it ends as the store says, and what was right in it is kept.
    @Test func filesAreRepairedFromTheStore() throws {
        let records = (0..<30).map(Self.good)
        try write(records)
        let whole = try folder.bytes("out.jsonl")
        var generator = SeededGenerator(state: 3)
        for _ in 0..<100 {
            var damaged = whole
            let at = Int.random(in: 0..<whole.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: damaged.removeLast(damaged.count - at)
            case 1: damaged[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: damaged.insert(contentsOf: Array("inserted\n".utf8), at: at)
            case 3: damaged += damaged[at...]
            default: damaged.removeSubrange(at..<min(whole.count, at + 40))
            }
            try folder.write("out.jsonl", damaged)
            try write(records)
            #expect(try folder.bytes("out.jsonl") == whole)
        }
        try folder.remove("out.jsonl")
        try write(records)
        #expect(try folder.bytes("out.jsonl") == whole)
    }

    @Test func whatIsRightIsNotWrittenAgain() throws {
        let records = (0..<5).map(Self.good)
        try write(records)
        let long = Date(timeIntervalSince1970: 1000)
        try FileManager.default.setAttributes([.modificationDate: long], ofItemAtPath: folder("out.jsonl"))
        try write(records)
        let attributes = try FileManager.default.attributesOfItem(atPath: folder("out.jsonl"))
        #expect(attributes[.modificationDate] as? Date == long)
    }

    @Test func devicesAreWrittenToAsTheyAre() throws {
        let full = try ResultFile(ResultPlaces(output: "/dev/full"), batch: Self.batch, inputName: "in.jsonl")
        try full.append([Self.good(0)])
        #expect {
            try full.flush()
        } throws: { error in
            let text = (error as? ResultFileError)?.description ?? ""
            return ["/dev/full", "No space left", "run the same command"].allSatisfy(text.contains)
        }
        let null = try ResultFile(ResultPlaces(output: "/dev/null"), batch: Self.batch, inputName: "in.jsonl")
        try null.append([Self.good(0)])
        try null.endReplay()
        try null.finish()
    }

    @Test func errorsHaveAPlaceBesideTheResults() {
        #expect(ResultPlaces(output: "a/b.c/results.jsonl").errors == "a/b.c/results.errors.jsonl")
        #expect(ResultPlaces(output: "a/b.c/results").errors == "a/b.c/results.errors.jsonl")
        #expect(ResultPlaces(output: ".jsonl").errors == ".jsonl.errors.jsonl")
        #expect(ResultPlaces(output: "-").errors == nil)
        #expect(ResultPlaces(output: "-", errors: "e").errors == "e")
        #expect(ResultPlaces(output: "a", errors: "./b/../a").errors == nil)
    }
}
