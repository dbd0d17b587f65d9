import Foundation
import JSON
import Testing

@testable import Models

/// Vendors' templates as transformers renders them: `chat/renderings.jsonl` of the reference data.
@Suite struct ChatReferenceTests {
    /// Each with `templates.json`, `renderings.jsonl` and the templates.
    static let folders = ReferenceFolder.roots.map { $0.appending(path: "chat") }
        .filter { ReferenceFolder.exists($0.appending(path: "renderings.jsonl")) }

    @Test(
        .enabled(if: !folders.isEmpty, "no chat/renderings.jsonl in MILLRACE_REFERENCE or ../shared/reference"),
        arguments: folders)
    func sameAsTransformers(_ folder: URL) throws {
        var templates: [String: ChatTemplate] = [:]
        let index = try ReferenceFolder.json(folder.appending(path: "templates.json"))
        for (name, entry) in try #require(index.object).members {
            let file = folder.appending(path: entry["file"]?.string ?? "\(name).jinja")
            templates[name] = try ChatTemplate(source: String(decoding: Data(contentsOf: file), as: UTF8.self))
        }
        let lines = try Data(contentsOf: folder.appending(path: "renderings.jsonl"))
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
