import JSON

/// A bulk job made of nothing: prompts of token ids, most short and some long, the same ones every time. Random ids
/// keep the prefix cache out of it; what they say does not matter to how long they take.
package struct BulkJob: Sendable {
    package var requests: Int
    package var newTokens: Int
    /// Ids are below it.
    package var vocabulary: Int

    package static let promptTokens = 16...300

    package init(requests: Int = 200, newTokens: Int = 64, vocabulary: Int) {
        precondition(requests > 0 && newTokens > 0 && vocabulary > 1)
        self.requests = requests
        self.newTokens = newTokens
        self.vocabulary = vocabulary
    }

    /// Lines of a batch file, greedy, each of exactly `newTokens` new tokens.
    package var lines: [String] {
        var random = SplitMix(state: 20_260_101)
        return (0..<requests).map { number in
            // The product of two draws leans to the short side: a mean of about 87.
            let span = Double(Self.promptTokens.upperBound - Self.promptTokens.lowerBound)
            let length = Self.promptTokens.lowerBound + Int(random.unit() * random.unit() * span)
            let ids = (0..<length).map { _ in JSON.int(Int64(random.next() % UInt64(vocabulary))) }
            let body: JSON = [
                "prompt": .array(ids), "max_tokens": .int(Int64(newTokens)), "temperature": .int(0),
                "ignore_eos": .bool(true),
            ]
            let line: JSON = [
                "custom_id": .string("bench-\(number)"), "method": .string("POST"), "url": .string("/v1/completions"),
                "body": body,
            ]
            return line.text
        }
    }
}

/// SplitMix64: https://prng.di.unimi.it/splitmix64.c
private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
