import Foundation
import JSON
import Testing

@testable import Models

/// Vendors' templates as transformers renders them: `chat/renderings.jsonl` of the reference data.
@Suite struct ChatReferenceTests {
    static let folder: URL = {
        let named = ProcessInfo.processInfo.environment["MILLRACE_REFERENCE"].map { URL(filePath: $0) }
        let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return (named ?? checkout.appending(path: "../shared/reference")).appending(path: "chat")
    }()
    static let isThere = FileManager.default.fileExists(atPath: folder.appending(path: "renderings.jsonl").path)

    @Test(.enabled(if: isThere, "no chat/renderings.jsonl in MILLRACE_REFERENCE or ../shared/reference"))
    func sameAsTransformers() throws {
        let index = try JSON(parsing: Array(Data(contentsOf: Self.folder.appending(path: "templates.json"))))
        var templates: [String: ChatTemplate] = [:]
        for (name, entry) in try #require(index.object).members {
            let file = Self.folder.appending(path: entry["file"]?.string ?? "\(name).jinja")
            templates[name] = try ChatTemplate(source: String(decoding: Data(contentsOf: file), as: UTF8.self))
        }
        let lines = try Data(contentsOf: Self.folder.appending(path: "renderings.jsonl"))
            .split(separator: UInt8(ascii: "\n"))
        for line in lines { try check(try JSON(parsing: Array(line)), templates) }
        #expect(!lines.isEmpty)
    }

    private func check(_ record: JSON, _ templates: [String: ChatTemplate]) throws {
        let name = try #require(record["template"]?.string)
        let place: Comment = "template \(name), case \(record["case"]?.string ?? "?")"
        let template = try #require(templates[name], place)
        let extra = record["extra_variables"]?.object ?? JSONObject()
        do {
            let text = try template.render(
                messages: record["messages"]?.array ?? [],
                addGenerationPrompt: record["add_generation_prompt"]?.bool ?? false,
                bosToken: record["bos_token"]?.string, eosToken: record["eos_token"]?.string,
                tools: record["tools"] ?? extra["tools"], extra: extra, now: CalendarTime(.now))
            let expected = try #require(record["rendered"]?.string, "\(place): should have failed")
            #expect(Array(text.utf8) == Array(expected.utf8), place)
        } catch let error as TemplateError {
            let expected = try #require(record["error"]?.string, "\(place): \(error)")
            #expect(Array(error.message.utf8) == Array(expected.utf8), place)
        }
    }
}
