import Foundation
import JSON
import Testing

/// `millrace bench`: what it prints and writes; not how fast anything is.
@Suite struct BenchCommandTests {
    @Test func aBulkJobComesAsJSONAndPlot() throws {
        let scratch = try Scratch()
        let ended = try MillraceProcess.run(
            [
                "bench", "batch", "--model", MillraceProcess.tinyLlama, "--requests", "6", "--new-tokens", "3",
                "--runs", "2", "--json", "--svg", "plot.svg",
            ], in: scratch.url)
        #expect(ended.status == 0, "\(ended.errors)")
        let report = try JSON(parsing: ended.output)
        #expect(report["requests"]?.int == 6 && report["generated_tokens"]?.int == 18)
        let rows = try #require(report["rows"]?.array)
        #expect(rows.map { $0["run"]?.string } == ["1", "2", "median"])
        for row in rows { #expect(row["seconds"] != nil && row["peak_mib"] != nil) }
        #expect(try String(contentsOf: scratch.url.appending(path: "plot.svg"), encoding: .utf8).hasPrefix("<svg"))
    }

    @Test func aFileOfOnesOwnIsTimed() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", RunTests.prompts(4, maxTokens: 2))
        let ended = try MillraceProcess.run(
            ["bench", "batch", "--model", MillraceProcess.tinyLlama, "--input", input], in: scratch.url)
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(ended.output.contains("4 requests") && ended.output.contains("GENERATED TOK/S"))
    }

    @Test func requestsThatFailAreNoBenchmark() throws {
        let scratch = try Scratch()
        let input = try scratch.write("in.jsonl", RunTests.prompts(2, maxTokens: 2) + "{\"custom_id\": 7}\n")
        let ended = try MillraceProcess.run(
            ["bench", "batch", "--model", MillraceProcess.tinyLlama, "--input", input], in: scratch.url)
        #expect(ended.status == 1 && ended.errors.contains("1 of 3 requests failed"), "\(ended.errors)")
    }

    @Test(arguments: [
        (["batch", "--requests", "0"], "--requests 0"), (["batch", "--runs", "0"], "--runs 0"),
        (["step", "--context", "0"], "--context 0"), (["kernels", "--dtype", "half"], "--dtype 'half'"),
        (["kernels", "--threads", "0"], "--threads 0"),
        (["kernels", "--weights", "stored"], "--weights stored"), (["step", "--weights", "auto"], "--weights auto"),
    ])
    func whatCannotBeMeasuredIsRefused(_ arguments: [String], _ named: String) throws {
        let scratch = try Scratch()
        let ended = try MillraceProcess.run(["bench"] + arguments, in: scratch.url)
        #expect(ended.status == 64 && ended.errors.contains(named), "\(ended.errors)")
    }
}
