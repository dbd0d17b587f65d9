import Foundation
import JSON
import Testing

/// GPTQ and AWQ folders through the program, as a person uses them.
@Suite struct QuantizedModelTests {
    /// A fixture's folder with a tokenizer.
    private static func model(_ name: String, in scratch: Scratch) throws -> String {
        let folder = scratch.url.appending(path: name)
        let fixtures = MillraceProcess.fixtures
        try FileManager.default.copyItem(at: fixtures.appending(path: "groups/\(name)"), to: folder)
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                at: fixtures.appending(path: "tiny/llama-rope3-a/\(file)"), to: folder.appending(path: file))
        }
        return folder.path
    }

    @Test(arguments: [
        ("gptq-4bit-act-llama", "GPTQ, 4 bits, groups of 32, act-order, in 14 linear layers", 42),
        ("gptq-8bit-qwen2", "GPTQ, 8 bits, a group for each output, in 14 linear layers", 42),
        ("awq-4bit-mistral", "AWQ, 4 bits, groups of 32, in 12 linear layers", 24),
    ])
    func inspectSaysHowWeightsAreQuantised(_ name: String, _ summary: String, _ words: Int) throws {
        let scratch = try Scratch()
        let path = try Self.model(name, in: scratch)
        let text = try MillraceProcess.run(["inspect", path, "--tensors"], in: scratch.url)
        #expect(text.status == 0, "\(text.errors)")
        #expect(text.output.contains("quantisation      \(summary)\n"), "\(text.output)")
        #expect(text.output.contains("model.layers.0.self_attn.q_proj.qweight  I32  ["))
        let ended = try MillraceProcess.run(["inspect", path, "--json"], in: scratch.url)
        let report = try JSON(parsing: Array(ended.output.utf8))
        #expect(report["quantization"]?.string == summary)
        // Numbers and zero points of each layer; GPTQ's have a list of groups, too.
        #expect(report["tensor_types"]?["I32"]?["tensors"]?.int == words)
    }

    @Test func aBatchRunsOnIt() throws {
        let scratch = try Scratch()
        let path = try Self.model("gptq-4bit-llama", in: scratch)
        let lines = (0..<6).map { index in
            #"{"custom_id": "r\#(index)", "prompt": "words and \#(index)", "max_tokens": 5, "temperature": 0, "#
                + #""ignore_eos": true, "logprobs": 2}"#
        }
        let input = try scratch.write("in.jsonl", lines.joined(separator: "\n") + "\n")
        let plain = try Self.plain("gptq-4bit-llama", in: scratch)
        var texts: [[String: String]] = []
        for (model, output) in [(path, "a.jsonl"), (plain, "b.jsonl")] {
            let ended = try MillraceProcess.run(
                ["run", input, "-o", output, "--model", model, "--quiet", "--state", "state-\(output)"],
                in: scratch.url)
            #expect(ended.status == 0, "\(ended.errors)")
            texts.append(RunTests.comparable(try scratch.lines(output)))
        }
        #expect(texts[0] == texts[1] && texts[0].count == 6)
    }

    /// The same weights as a plain checkpoint.
    private static func plain(_ name: String, in scratch: Scratch) throws -> String {
        let folder = scratch.url.appending(path: "plain")
        let other = scratch.url.appending(path: name)
        try FileManager.default.copyItem(at: other.appending(path: "plain"), to: folder)
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(at: other.appending(path: file), to: folder.appending(path: file))
        }
        return folder.path
    }

    @Test func whatIsNotSupportedIsSaid() throws {
        let scratch = try Scratch()
        let path = try Self.model("gptq-4bit-llama", in: scratch)
        let config = path + "/config.json"
        let text = try String(contentsOfFile: config, encoding: .utf8)
        try text.replacing(#""quant_method": "gptq""#, with: #""quant_method": "fp8""#)
            .write(toFile: config, atomically: true, encoding: .utf8)
        let ended = try MillraceProcess.run(["inspect", path], in: scratch.url)
        #expect(ended.status != 0)
        #expect(
            ended.errors.contains(
                "config.json: quantization_config.quant_method: fp8 is not supported; "
                    + "supported are gptq (4 and 8 bits) and awq (4 bits, version gemm)"), "\(ended.errors)")
    }
}
