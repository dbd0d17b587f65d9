import JobQueue
import Testing

@testable import Worker

/// Runs a sequence whose tokens are decided beforehand: each step's logits want exactly the next of them.
struct ForcedSequence {
    var state: GenerationState
    let tokenizer: ToyTokenizer

    init(
        _ tokenizer: ToyTokenizer, prompt: [Int32] = [0], maxTokens: Int,
        _ change: (inout GenerationSpec) -> Void = { _ in }
    ) {
        var spec = GenerationSpec(
            id: GenerationID(request: RequestKey(batch: BatchID("batch_1"), ordinal: 0), choice: 0),
            prompt: prompt,
            maxTokens: maxTokens, seed: RequestSeed(key: 1))
        spec.sampling.temperature = 0
        spec.stops.ends = tokenizer.special.ends
        change(&spec)
        state = GenerationState(spec, tokenizer: tokenizer)
        self.tokenizer = tokenizer
    }

    /// - Parameter second: a token that wins where the wanted one is ruled out.
    mutating func step(_ token: Int32, second: Int32? = nil) throws -> GenerationState.Step {
        var logits = [Float](repeating: 0, count: tokenizer.vocabularySize)
        if let second { logits[Int(second)] = 4 }
        logits[Int(token)] = 8
        var sampler = Sampler()
        var row = logits.mutableSpan
        return try state.accept(&row, sampler: &sampler)
    }

    /// Feeds tokens until the sequence ends. Returns its result, nil when the tokens ran out first.
    mutating func run(_ tokens: [Int32]) throws -> GeneratedSequence? {
        for token in tokens where state.finish == nil { _ = try step(token) }
        return state.result
    }

    func text(_ sequence: GeneratedSequence) -> String {
        CompletionText(of: sequence, tokenizer: tokenizer).text
    }
}

@Suite struct StopTests {
    /// Random text, cut anywhere into tokens (within characters too), against a search in the whole text.
    @Test(arguments: 0..<300)
    func stopsAreFoundWhereverTokensAreCut(_ trial: Int) throws {
        var random = TestRandom(UInt64(trial))
        let letters = ["a", "b", "ab", "é", "😀", "\n"]
        func word(_ length: Int) -> String {
            (0..<length).map { _ in letters.randomElement(using: &random)! }.joined()
        }
        let text = Array(word(40).utf8)
        let stops = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            word(Int.random(in: 1...4, using: &random))
        }
        var pieces: [[UInt8]] = []
        var at = 0
        while at < text.count {
            let next = min(text.count, at + Int.random(in: 1...5, using: &random))
            pieces.append(Array(text[at..<next]))
            at = next
        }
        let minTokens = [0, 0, 5].randomElement(using: &random)!
        let includes = Bool.random(using: &random)
        // One token for each piece, after a prompt token of its own.
        let tokenizer = ToyTokenizer([[UInt8(ascii: "p")]] + pieces)
        var sequence = ForcedSequence(tokenizer, maxTokens: pieces.count) {
            $0.stops.strings = stops
            $0.stops.minTokens = minTokens
            $0.stops.includesStop = includes
        }
        let result = try #require(try sequence.run((1...pieces.count).map(Int32.init)))

        // What is certain of the text after minTokens tokens: no match ends in it.
        let early = Array(pieces.prefix(minTokens).joined())
        let floor = early.count - Self.openBytes(early)
        let found = Self.search(text, stops, endingAfter: floor)
        if let found {
            let cut = includes ? found.upperBound : found.lowerBound
            #expect(Array(sequence.text(result).utf8) == Array(text[..<cut]))
            #expect(result.finish == .stopString(String(decoding: text[found], as: UTF8.self)))
            #expect(result.textEnd == cut)
            // It ended with the token that completed the match.
            #expect(pieces.prefix(result.output.count - 1).joined().count < found.upperBound)
        } else {
            #expect(Array(sequence.text(result).utf8) == text)
            #expect(result.finish == .length)
        }
    }

    /// Bytes of an unfinished character at the end.
    static func openBytes(_ bytes: [UInt8]) -> Int {
        for back in 0...min(3, bytes.count)
        where String(validating: bytes.dropLast(back), as: UTF8.self) != nil { return back }
        return 0
    }

    /// The match that ends first, of those the longest.
    static func search(_ text: [UInt8], _ stops: [String], endingAfter floor: Int) -> Range<Int>? {
        for end in 0...text.count where end > floor {
            let starts = stops.map { end - $0.utf8.count }.enumerated().filter { i, start in
                start >= 0 && text[start..<end].elementsEqual(stops[i].utf8)
            }
            if let start = starts.map(\.element).min() { return start..<end }
        }
        return nil
    }

    let words = ToyTokenizer(["p", "one", " two", " three", "."])

    @Test func endTokensAreNoText() throws {
        for skips in [true, false] {
            var sequence = ForcedSequence(words, maxTokens: 9) { $0.skipsSpecial = skips }
            let result = try #require(try sequence.run([1, 2, words.eos, 3]))
            #expect(result.output == [1, 2, words.eos])
            #expect(result.finish == .end)
            #expect(sequence.text(result) == "one two")
        }
        var other = ForcedSequence(words, maxTokens: 9)
        #expect(try other.run([1, words.eos + 1])?.finish == .end)
    }

    @Test func ignoredEndTokensGoOn() throws {
        var sequence = ForcedSequence(words, maxTokens: 4) { $0.stops.ignoresEnds = true }
        let result = try #require(try sequence.run([1, words.eos, 2, 3]))
        #expect(result.finish == .length)
        #expect(sequence.text(result) == "one two three")
    }

    @Test func stopTokensEndWithAReason() throws {
        for includes in [false, true] {
            var sequence = ForcedSequence(words, maxTokens: 9) {
                $0.stops.tokens = [4]
                $0.stops.includesStop = includes
            }
            let result = try #require(try sequence.run([1, 4]))
            #expect(result.finish == .stopToken(4))
            #expect(result.finish.name == "stop")
            #expect(sequence.text(result) == (includes ? "one." : "one"))
        }
    }

    @Test func theLastTokenMayStillStop() throws {
        var sequence = ForcedSequence(words, maxTokens: 2) { $0.stops.strings = ["two"] }
        #expect(try sequence.run([1, 2])?.finish == .stopString("two"))
    }

    /// A character that never completes is repaired at the end, and not before.
    @Test func unfinishedCharactersAreRepaired() throws {
        let tokenizer = ToyTokenizer([[65], [0xF0, 0x9F], [0x98], [0x80]])
        var whole = ForcedSequence(tokenizer, maxTokens: 4)
        #expect(whole.text(try #require(try whole.run([0, 1, 2, 3]))) == "A😀")
        var cut = ForcedSequence(tokenizer, maxTokens: 3)
        #expect(cut.text(try #require(try cut.run([0, 1, 2]))) == "A\u{FFFD}")
    }

    @Test func minTokensHoldsEndsAndStopsBack() throws {
        var sequence = ForcedSequence(words, maxTokens: 9) {
            $0.stops.minTokens = 2
            $0.stops.tokens = [4]
        }
        #expect(try sequence.step(words.eos, second: 1) == .continued(1))
        #expect(try sequence.step(4, second: 2) == .continued(2))
        #expect(try sequence.step(4, second: 2) == .finished(.stopToken(4)))
    }

    @Test func badWordsAreNotCompleted() throws {
        var sequence = ForcedSequence(words, maxTokens: 9) { $0.badWords = [[1, 2], [3]] }
        #expect(try sequence.step(2) == .continued(2))
        #expect(try sequence.step(3, second: 1) == .continued(1))
        #expect(try sequence.step(2, second: 4) == .continued(4))
        #expect(try sequence.step(2) == .continued(2))
    }

    @Test func penaltiesFollowTheOutput() throws {
        var sequence = ForcedSequence(words, maxTokens: 9) { $0.sampling.frequencyPenalty = 2 }
        // 8 against 4: after two of it 8 - 2 * 2 ties with 4, and the first of equals wins.
        #expect(try sequence.step(2, second: 1) == .continued(2))
        #expect(try sequence.step(2, second: 1) == .continued(2))
        #expect(try sequence.step(2, second: 1) == .continued(1))
        var repeated = ForcedSequence(words, prompt: [2], maxTokens: 9) {
            $0.sampling.repetitionPenalty = 2.5
        }
        #expect(try repeated.step(2, second: 1) == .continued(1))
    }

    @Test func promptRowsAreScoredOnce() throws {
        var sequence = ForcedSequence(words, prompt: [1, 2, 3], maxTokens: 1) { $0.promptTopLogprobs = 2 }
        var sampler = Sampler()
        #expect(sequence.state.spec.needsPromptRows)
        for position in 0..<3 {
            #expect(sequence.state.wantsPromptRow(position) == (position < 2))
            let logits = (0..<words.vocabularySize).map { Float(-$0) }
            try sequence.state.acceptPromptRow(position, logits.span, sampler: &sampler)
            #expect(!sequence.state.wantsPromptRow(position))
        }
        let result = try #require(try sequence.run([1]))
        #expect(result.promptLogprobs.count == 3)
        #expect(result.promptLogprobs[0] == nil)
        #expect(result.promptLogprobs[1]?.token == 2)
        #expect(result.promptLogprobs[1]?.rank == 3)
        #expect(result.promptLogprobs[2]?.top.map(\.token) == [0, 1])
    }

    @Test func scoringGeneratesNothing() throws {
        var sequence = ForcedSequence(words, prompt: [1, 2], maxTokens: 0)
        #expect(!sequence.state.spec.needsModel)
        sequence.state.finishScoring()
        #expect(sequence.state.result?.finish == .length)
        #expect(sequence.state.result?.output == [])
    }

    @Test func offsetsCountScalarsOfTheText() throws {
        let tokenizer = ToyTokenizer([Array("é".utf8), Array("😀b".utf8), [0xE2, 0x82], [0xAC, 0x63]])
        var sequence = ForcedSequence(tokenizer, maxTokens: 4)
        let result = try #require(try sequence.run([0, 1, 2, 3]))
        let text = CompletionText(of: result, tokenizer: tokenizer)
        #expect(text.text == "é😀b€c")
        #expect(text.offsets == [0, 1, 3, 3])
    }

    /// A continuation keeps the space that a text of its own loses.
    @Test func continuationsKeepTheirSpace() throws {
        for prompt in [[words.bos, 1], [1], [words.bos]] {
            var sequence = ForcedSequence(words, prompt: prompt, maxTokens: 2) { $0.stops.strings = ["x"] }
            let result = try #require(try sequence.run([2, 3]))
            #expect(sequence.text(result) == (prompt == [words.bos] ? "two three" : " two three"))
        }
    }
}
