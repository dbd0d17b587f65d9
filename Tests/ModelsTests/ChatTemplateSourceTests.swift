import Foundation
import JSON
import Testing

@testable import Models

@Suite struct ChatTemplateSourceTests {
    /// A folder of its own with these files, gone afterwards.
    private func withFolder<R>(_ files: [String: String], _ body: (URL) throws -> R) throws -> R {
        let folder = FileManager.default.temporaryDirectory.appending(path: "chat-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            let file = folder.appending(path: name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        return try body(folder)
    }

    @Test func gguf() {
        let source = ChatTemplateSource(
            gguf: GGUFMetadata([
                "tokenizer.chat_template": .string(Array("plain".utf8)),
                "tokenizer.chat_template.tool_use": .string(Array("tools".utf8)),
                "tokenizer.chat_templates": .strings([Array("tool_use".utf8)]),
                "tokenizer.ggml.tokens": .strings([
                    Array("<unk>".utf8), Array("<s>".utf8), Array("</s>".utf8),
                ]),
                "tokenizer.ggml.bos_token_id": .int(1), "tokenizer.ggml.eos_token_id": .int(2),
                "tokenizer.ggml.unknown_token_id": .int(0), "tokenizer.ggml.padding_token_id": .int(99),
            ]))
        #expect(source.source() == "plain")
        #expect(source.source(hasTools: true) == "tools")
        #expect(source.source(named: "tool_use") == "tools")
        #expect(source.source(named: "rag") == nil)
        #expect(source.bosToken == "<s>")
        #expect(source.eosToken == "</s>")
        #expect(source.otherTokens == JSONObject([("unk_token", "<unk>")]))
        #expect(ChatTemplateSource(gguf: GGUFMetadata([:])).source() == nil)
    }

    @Test func tokenizerConfig() throws {
        let config = """
            {"chat_template": "inside", "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>",
             "pad_token": null}
            """
        try withFolder([
            "tokenizer_config.json": config,
            "special_tokens_map.json": #"{"pad_token": "<p>", "eos_token": "no"}"#,
        ]) {
            let source = try ChatTemplateSource(folder: $0)
            #expect(source.source() == "inside")
            #expect(source.source(hasTools: true) == "inside")
            #expect(source.bosToken == "<s>")
            #expect(source.eosToken == "</s>")
            #expect(source.otherTokens == JSONObject([("pad_token", "<p>")]))
        }
    }

    @Test func namedTemplates() throws {
        let list =
            #"{"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]}"#
        try withFolder(["tokenizer_config.json": list]) {
            let source = try ChatTemplateSource(folder: $0)
            #expect(source.source() == "d")
            #expect(source.source(hasTools: true) == "t")
        }
        try withFolder(["tokenizer_config.json": #"{"chat_template": [{"name": "rag", "template": "r"}]}"#]) {
            let source = try ChatTemplateSource(folder: $0)
            #expect(source.source() == "r")
        }
    }

    @Test func ownFilesComeFirst() throws {
        let files = [
            "chat_template.jinja": "file\n", "additional_chat_templates/tool_use.jinja": "tools",
            "tokenizer_config.json": #"{"chat_template": "inside", "bos_token": "<s>"}"#,
        ]
        try withFolder(files) {
            let source = try ChatTemplateSource(folder: $0)
            #expect(source.source() == "file\n")
            #expect(source.source(hasTools: true) == "tools")
            #expect(source.bosToken == "<s>")
        }
        try withFolder(["chat_template.json": #"{"chat_template": "processor"}"#]) {
            let source = try ChatTemplateSource(folder: $0)
            #expect(source.source() == "processor")
        }
    }

    @Test func badFilesAreNamed() throws {
        for bad in ["{", #"{"chat_template": 5}"#, #"{"chat_template": [{"name": "x"}]}"#] {
            try withFolder(["tokenizer_config.json": bad]) { folder in
                let error = #expect(throws: ChatTemplateSourceError.self) {
                    try ChatTemplateSource(folder: folder)
                }
                #expect(error?.description.contains("tokenizer_config.json") == true)
            }
        }
        #expect(try ChatTemplateSource(folder: URL(filePath: "/nonexistent")).source() == nil)
    }
}
