import Testing

@testable import Worker

@Suite struct RequestSeedTests {
    /// Known answers published with Random123 (kat_vectors, philox4x32 10 rounds).
    @Test func philoxGivesTheKnownAnswers() {
        #expect(
            Philox.block(counter: [0, 0, 0, 0], key: [0, 0])
                == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        #expect(
            Philox.block(counter: SIMD4(repeating: .max), key: SIMD2(repeating: .max))
                == [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])
        #expect(
            Philox.block(
                counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                key: [0xa409_3822, 0x299f_31d0])
                == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
    }

    /// Seeds are part of what a rerun reproduces: these values must never change.
    @Test func seedsStayWhatTheyWere() {
        #expect(RequestSeed.derive(batchSeed: 0, customID: "", choice: 0).key == 7_628_334_143_679_044_616)
        #expect(
            RequestSeed.derive(batchSeed: 7, customID: "request-1", choice: 2).key
                == 11_059_339_277_335_154_062)
        #expect(RequestSeed(key: 42, choice: 1).uniform(at: 3) == 0.6805779186820962)
    }

    @Test func everythingNamedChangesTheDraws() {
        let base = RequestSeed.derive(batchSeed: 1, customID: "a", choice: 0)
        let others = [
            RequestSeed.derive(batchSeed: 2, customID: "a", choice: 0),
            RequestSeed.derive(batchSeed: 1, customID: "b", choice: 0),
            RequestSeed.derive(batchSeed: 1, customID: "a", choice: 1),
        ]
        for other in others { #expect(other.uniform(at: 0) != base.uniform(at: 0)) }
        #expect(base.uniform(at: 1) != base.uniform(at: 0))
        // Names are bytes: a precomposed letter is not its decomposition.
        #expect(
            RequestSeed.derive(batchSeed: 1, customID: "\u{e9}", choice: 0)
                != RequestSeed.derive(batchSeed: 1, customID: "e\u{301}", choice: 0))
    }

    @Test func drawsAreUniform() {
        var counts = [Int](repeating: 0, count: 16)
        for i in 0..<16_000 {
            let draw = RequestSeed(key: 9).uniform(at: i)
            #expect(draw >= 0 && draw < 1)
            counts[Int(draw * 16)] += 1
        }
        for count in counts { #expect(abs(count - 1000) < 150) }
    }
}
