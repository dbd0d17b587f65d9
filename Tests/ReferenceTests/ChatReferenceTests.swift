import Testing

@testable import Models

@Test func placeholder() throws {
    let t = try ChatTemplate(source: "{{ 1 + 1 }}")
    #expect(try t.render(messages: [], addGenerationPrompt: false, bosToken: nil, eosToken: nil, now: CalendarTime(year: 2026, month: 1, day: 1)) == "2")
}
