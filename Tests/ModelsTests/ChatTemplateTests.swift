import Foundation
import JSON
import Testing

@testable import Models

/// What concerns the outside of chat templates: variables, errors, limits. What Jinja does is in
/// `ChatFixtureTests`.
@Suite struct ChatTemplateTests {
    static let now = CalendarTime(year: 2026, month: 2, day: 3, hour: 4, minute: 5, second: 6)

    static func render(
        _ source: String, messages: [JSON] = [], extra: JSONObject = JSONObject(),
        limits: TemplateLimits = .init()
    ) throws(TemplateError) -> String {
        try ChatTemplate(source: source, limits: limits).render(
            messages: messages, addGenerationPrompt: true, bosToken: "<s>", eosToken: nil, extra: extra,
            now: now)
    }

    /// The error that rendering, or parsing, ends with.
    static func error(
        _ source: String, extra: JSONObject = JSONObject(), limits: TemplateLimits = .init()
    ) -> TemplateError? {
        do {
            _ = try render(source, extra: extra, limits: limits)
            return nil
        } catch {
            return error
        }
    }

    @Test func variables() throws {
        let source =
            "{{ bos_token }}|{{ eos_token }}|{{ tools is none }}|{{ add_generation_prompt }}|{{ pad_token }}"
        #expect(try Self.render(source, extra: JSONObject([("pad_token", "<p>")])) == "<s>||True|True|<p>")
        #expect(
            try Self.render("{{ messages[0] }}", messages: [["role": "user", "n": 1.0]])
                == "{'role': 'user', 'n': 1.0}")
    }

    @Test func reasoningIsFoundUnderEachOfItsNames() throws {
        let source = "{{ messages[0].thinking }}|{{ messages[0].reasoning_content }}"
        #expect(try Self.render(source, messages: [["role": "assistant", "reasoning": "r"]]) == "r|r")
        #expect(try Self.render(source, messages: [["thinking": "t", "reasoning": "r"]]) == "t|t")
        #expect(try Self.render(source, messages: [["thinking": nil, "reasoning_content": "c"]]) == "None|c")
        #expect(try Self.render("{{ messages }}", messages: ["plain"]) == "['plain']")
    }

    @Test func timeIsInjected() throws {
        #expect(try Self.render("{{ strftime_now('%d %b %Y') }}") == "03 Feb 2026")
        let leap = CalendarTime(
            Date(timeIntervalSince1970: 1_709_251_199), in: try #require(TimeZone(identifier: "UTC")))
        #expect(leap == CalendarTime(year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 59))
    }

    @Test(arguments: [
        ("{{ x }}\n{% if %}", TemplateError.Kind.syntax, 2),
        ("\n\n{{ 'a' + 1 }}", .runtime, 3),
        ("\n{% set x = nope.y %}", .undefined, 2),
        ("{# \n #}\n{{ raise_exception('no') }}", .raised, 3),
        ("\n{% include 'x' %}", .unsupported, 2),
        ("{% if false %}\n{{ x|urlize }}{% endif %}", .unsupported, 2),
        ("{{ 99999999999999999999 }}", .unsupported, 1),
        ("{% set ns = namespace() %}\n{% set ns._x = 1 %}", .security, 2),
        ("{{ messages.append(1) }}", .security, 1),
        ("{{ range(100001) }}", .limit, 1),
    ])
    func errorsSayWhatAndWhere(_ source: String, _ kind: TemplateError.Kind, _ line: Int) throws {
        let error = try #require(Self.error(source))
        #expect(error.kind == kind)
        #expect(error.line == line)
    }

    @Test func refusalIsWordForWord() throws {
        let error = try #require(Self.error("{{ raise_exception('No system role,\\n please') }}"))
        #expect(error.message == "No system role,\n please")
        #expect(error.description.hasSuffix(error.message))
    }

    @Test func stringsAreCodePoints() throws {
        let extra = JSONObject([("composed", "\u{E9}"), ("decomposed", "e\u{301}")])
        let source =
            "{{ composed == decomposed }} {{ decomposed|length }} {{ {composed: 1, decomposed: 2}|length }}"
        #expect(try Self.render(source, extra: extra) == "False 2 2")
        #expect(Array(try Self.render("{{ decomposed }}", extra: extra).utf8) == [0x65, 0xCC, 0x81])
    }
}

/// A template comes with a checkpoint, and may be hostile: each of these ends in an error, soon.
@Suite(.serialized) struct ChatTemplateLimitTests {
    @Test(.timeLimit(.minutes(5)), arguments: [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{{ 'x' * 999999999999 }}", "{{ [1] * 999999999999 }}", "{{ ('x' * 9000000) * 9000000 * 9000000 }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(64) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(63) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
            + "{{ ns.l|tojson }}",
        "{% set ns = namespace(a=[], b=[]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
            + "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
        "{% set ns = namespace(l=()) %}{% for i in range(60) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}"
            + "{{ {ns.l: 1} }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% for i in [1] %}{% if n %}{{ m(n) }}"
            + "{% endif %}{% endfor %}{% endmacro %}{{ m(1) }}",
        "{% macro m() %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
        "{{ '%999999999d' % 1 }}", "{{ '%.999999999f' % 1 }}", "{{ '{:999999999}'.format(1) }}",
        "{{ '%99999999999999999999d' % 1 }}", "{{ 'a'.center(999999999) }}", "{{ 'a'|indent(999999999) }}",
        "{{ 'a'.ljust(9223372036854775807) }}", "{{ [1]|batch(999999999, 0)|list }}",
        "{{ [1]|slice(999999999)|list }}",
        "{% set s = 'a' * 2000000 %}{% for i in range(100000) %}{{ s.find(s) if s == s + '' }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{{ s.replace('', s) }}", "{{ ('a' * 100000).split('')|length }}{{ 1/0 }}",
        "{{ range(100000)|map('string')|list|sort|join(',' * 100000) }}",
        "{{ [1]|tojson(indent=999999999) }}",
        "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}", "{{ 2 ** 99999999 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ -9223372036854775807 - 2 }}", "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ (-9223372036854775807 - 1)|abs }}",
    ])
    func hostileTemplatesEnd(_ source: String) {
        // The same limits, smaller: this build may be slow.
        var limits = TemplateLimits()
        limits.steps = 50_000
        limits.workBytes = 1 << 23
        limits.outputBytes = 1 << 20
        #expect(ChatTemplateTests.error(source, limits: limits) != nil)
    }

    @Test func harmlessExtremes() throws {
        #expect(try ChatTemplateTests.render("{{ (-9223372036854775807 - 1) % -1 }}") == "0")
        #expect(
            try ChatTemplateTests.render("{{ 'abc'[-9223372036854775807:9223372036854775807] }}") == "abc")
        #expect(
            try ChatTemplateTests.render(
                "{{ 'abc'[::-9223372036854775807] }}{{ 'abc'[9223372036854775807] }}") == "c")
        #expect(try ChatTemplateTests.render("{{ range(9223372036854775807, 0, 1)|length }}") == "0")
        #expect(try ChatTemplateTests.render("{{ 5 in range(0, 9, 5) }}") == "True")
    }

    @Test func deepSourcesAreRefused() throws {
        for (open, middle, close) in [
            ("(", "1", ")"), ("[", "", "]"), ("{1:", "1", "}"), ("x[", "1", "]"), ("f(", "", ")"),
            ("-", "1", ""),
            ("1 if x else ", "1", ""), ("x|default(", "1", ")"),
        ] {
            let deep =
                "{{ \(String(repeating: open, count: 5000))\(middle)\(String(repeating: close, count: 5000)) }}"
            #expect(ChatTemplateTests.error(deep)?.kind == .limit, "\(open)")
        }
        let nested =
            String(repeating: "{% if 1 %}", count: 5000) + String(repeating: "{% endif %}", count: 5000)
        #expect(ChatTemplateTests.error(nested)?.kind == .limit)
        #expect(ChatTemplateTests.error(String(repeating: "x", count: 1 << 19))?.kind == .limit)
    }

    @Test func longChainsAreNotDeep() throws {
        let sum = "{{ 1" + String(repeating: " + 1", count: 5000) + " }}"
        #expect(try ChatTemplateTests.render(sum) == "5001")
        let chain = "{{ 'a'" + String(repeating: "|trim", count: 5000) + " }}"
        #expect(try ChatTemplateTests.render(chain) == "a")
        let branches =
            "{% if 0 %}" + String(repeating: "{% elif 0 %}", count: 5000) + "{% else %}z{% endif %}"
        #expect(try ChatTemplateTests.render(branches) == "z")
        #expect(
            try ChatTemplateTests.render("{{ " + String(repeating: "not ", count: 5000) + "1 }}") == "True")
    }

    #if DEBUG
        private static let smallStackBytes = 2 << 20
    #else
        private static let smallStackBytes = 512 << 10
    #endif

    /// As deep as the limits allow must fit on the small stack of a secondary thread.
    @Test func deepestFitsOnASmallStack() async throws {
        let limits = TemplateLimits()
        let (deep, inside) = (limits.expressionDepth - 2, limits.statementDepth - 2)
        let lists = "{{ \(String(repeating: "[", count: deep))1\(String(repeating: "]", count: deep)) }}"
        let loops = String(repeating: "{% for x in [1] %}", count: inside)
        let nested = loops + lists + String(repeating: "{% endfor %}", count: inside)
        let macro =
            "{% macro m(n) %}{% for x in [1] %}{% if n is defined %}{{ [(m(n)|trim ~ 'x')] }}{% endif %}"
            + "{% endfor %}{% endmacro %}{{ m(1) }}"
        let results: [String] = await withCheckedContinuation { continuation in
            let thread = Thread {
                continuation.resume(
                    returning: [nested, macro].map { source in
                        ChatTemplateTests.error(source).map { "\($0.kind)" } ?? "rendered"
                    })
            }
            thread.stackSize = Self.smallStackBytes
            thread.start()
        }
        #expect(results == ["rendered", "limit"])
    }
}
