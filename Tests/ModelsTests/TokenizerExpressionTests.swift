import Testing

@testable import Models

/// Expressions in Oniguruma's syntax, run by PCRE2. `TokenizerFixtureTests` compares many more with the original.
@Suite struct TokenizerExpressionTests {
    static func pieces(_ expression: String, _ text: String) throws -> [String] {
        let expression = try Expression(expression, at: "test")
        let bytes = Array(text.utf8)
        var found: [String] = []
        expression.forEachMatch(in: bytes, 0..<bytes.count, with: ExpressionMatcher()) {
            found.append(String(decoding: bytes[$0], as: UTF8.self))
        }
        return found
    }

    @Test func spacesAreUnicodesWhiteSpace() throws {
        #expect(try Self.pieces(#"\s"#, "a\u{85}\u{A0}\u{3000}\u{180E}\u{200B}").count == 3)
        #expect(try Self.pieces(#"[^\S\n]+"#, "a \n\t b") == [" ", "\t "])
        #expect(try Self.pieces(#"\v"#, "\u{B}\n") == ["\u{B}"])
        #expect(try Self.pieces(#"\h+"#, "xyz 09af AF") == ["09af", "AF"])
    }

    @Test func lettersDoNotDependOnPCRE2sUnicode() throws {
        // Assigned by Unicode 15, 15.1 and 16.
        #expect(try Self.pieces(#"\p{L}+"#, "a\u{31350}\u{2EBF0}\u{10D50}!") == ["a\u{31350}\u{2EBF0}\u{10D50}"])
        #expect(try Self.pieces(#"[^\s\p{L}]+"#, "\u{31350}!") == ["!"])
        #expect(try Self.pieces(#"\p{Han}+"#, "中\u{31350}。") == ["中\u{31350}"])
    }

    @Test func emptyMatchesSplit() throws {
        #expect(try Self.pieces(#"(?=(\d{3})+(?!\d))"#, "12345") == [""])
        #expect(try Self.pieces("a*", "aab") == ["aa", ""])
    }

    @Test(arguments: [
        "[a[bc]]", "[a&&b]", #"\g<1>"#, "(?y{g})a", "a{2}+", #"\xE4"#, "[[:alpha:]]", "(", #"\"#, "(?~ab)",
    ])
    func whatWouldMeanSomethingElseIsRefused(_ expression: String) {
        #expect { try Expression(expression, at: "the place") } throws: { error in
            error is TokenizerError && "\(error)".contains("the place") && "\(error)".contains(expression)
        }
    }

    @Test func catastrophicBacktrackingEnds() throws {
        let text = String(repeating: "a", count: 60)
        #expect(try Self.pieces("(a+)+b", text) == [])
    }

    @Test func longRunsNeedNoStack() throws {
        let text = String(repeating: " ", count: 3_000_000) + "x"
        let found = try Self.pieces(#"\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+"#, text)
        #expect(found.map(\.utf8.count) == [2_999_999, 1, 1])
        #expect(try Self.pieces(#"(?:ab|cd)+"#, String(repeating: "abcd", count: 200_000)).count == 1)
    }
}
