import Foundation
import JSON
import Testing

@testable import Models

/// Templates of our own, rendered by jinja2 (`Tests/Fixtures/jinja_cases.py`): ours must do the same.
/// `MILLRACE_JINJA_CASES` names another file of such cases, for comparing many random ones.
@Suite struct ChatFixtureTests {
    struct Case {
        let template: String
        let variables: JSONObject
        /// What jinja2 did.
        let expected: Outcome
    }

    enum Outcome: Equatable, CustomStringConvertible {
        case rendered(String)
        case failed(String)
        case refusedSource

        static func == (a: Outcome, b: Outcome) -> Bool {
            switch (a, b) {
            case (.rendered(let a), .rendered(let b)), (.failed(let a), .failed(let b)):
                Array(a.utf8) == Array(b.utf8)
            case (.refusedSource, .refusedSource): true
            default: false
            }
        }

        var description: String {
            switch self {
            case .rendered(let text): "rendered \(text.debugDescription)"
            case .failed(let text): "failed \(text.debugDescription)"
            case .refusedSource: "refused the source"
            }
        }
    }

    static func cases() throws -> [Case] {
        let other = ProcessInfo.processInfo.environment["MILLRACE_JINJA_CASES"]
        let file = URL(filePath: other ?? Fixtures.folder + "/jinja.jsonl")
        var parser = JSONParser()
        return try Data(contentsOf: file).split(separator: UInt8(ascii: "\n")).map { line in
            let record = try parser.parse(line)
            let expected: Outcome =
                if let text = record["rendered"]?.string {
                    .rendered(text)
                } else if let text = record["error"]?.string { .failed(text) } else { .refusedSource }
            return Case(
                template: try #require(record["template"]?.string),
                variables: record["variables"]?.object ?? JSONObject(), expected: expected)
        }
    }

    static func outcome(_ one: Case) -> (Outcome, TemplateError?) {
        let template: ChatTemplate
        do {
            template = try ChatTemplate(source: one.template)
        } catch {
            return (.refusedSource, error)
        }
        do {
            let now = CalendarTime(year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6)
            let text = try template.render(
                messages: one.variables["messages"]?.array ?? [], addGenerationPrompt: false, bosToken: nil,
                eosToken: nil, extra: one.variables, now: now)
            return (.rendered(text), nil)
        } catch {
            return (.failed(error.message), error)
        }
    }

    @Test func sameAsJinja() throws {
        let cases = try Self.cases()
        var differences = 0
        for (number, one) in cases.enumerated() {
            let (outcome, error) = Self.outcome(one)
            if outcome != one.expected {
                differences += 1
                Issue.record(
                    """
                    case \(number + 1): \(one.template.debugDescription)
                      with \(JSON.object(one.variables).text)
                      jinja2 \(one.expected)
                      ours \(outcome) \(error.map(\.description) ?? "")
                    """)
            }
        }
        #expect(differences == 0, "of \(cases.count)")
        #expect(cases.count > 0)
    }
}
