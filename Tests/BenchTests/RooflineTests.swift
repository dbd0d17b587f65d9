import Bench
import Kernels
import Testing

@testable import Models

@Suite struct RooflineTests {
    /// Two layers, the second with a window.
    private static var small: DecoderConfiguration {
        DecoderConfiguration(
            family: .llama, vocabulary: 100, hidden: 8, heads: 4, keyValueHeads: 2, headWidth: 4, feedForward: 16,
            contextLength: 64,
            layers: [
                .init(window: nil, rotary: nil, attentionScale: 0.5),
                .init(window: 10, rotary: nil, attentionScale: 0.5),
            ], rotaries: [], normEpsilon: 1e-5, activation: .silu, tiedHead: true)
    }

    @Test func theSlowerLimitIsTheFloor() {
        let roofline = Roofline(bytesPerSecond: 100, operationsPerSecond: 1000)
        #expect(roofline.floorSeconds(Work(bytes: 200, operations: 500)) == 2)
        #expect(roofline.floorSeconds(Work(bytes: 10, operations: 500)) == 0.5)
    }

    @Test func matricesHaveTheModelsShapes() {
        let work = DecoderWork(Self.small, computeType: .bfloat16)
        #expect(work.layerMatrices.map(\.inputs) == [8, 16, 8, 16])
        #expect(work.layerMatrices.map(\.outputs) == [32, 8, 32, 8])
        #expect(work.layerMatrices.map(\.parts) == [1, 1, 2, 1])
        #expect(work.work(work.head, rows: 3) == Work(bytes: 1600, operations: 4800))
        #expect(DecoderWork(Self.small, computeType: .float32).work(work.head, rows: 3).bytes == 3200)
    }

    @Test func aWindowBoundsWhatAttentionReads() {
        let work = DecoderWork(Self.small, computeType: .bfloat16)
        // Keys and values of 2 heads of 4, 2 bytes each: 32 bytes a position; 4 operations for each of 16 query values.
        #expect(work.attention(layer: 0, positions: 30) == Work(bytes: 960, operations: 1920))
        #expect(work.attention(layer: 1, positions: 30) == Work(bytes: 320, operations: 640))
    }

    @Test func aStepReadsWeightsOnceAndContextsForEachRow() throws {
        let work = DecoderWork(Self.small, computeType: .bfloat16)
        let elements = 100 * 8 + 2 * (8 * 32 + 16 * 8 + 8 * 32 + 16 * 8)
        let one = try #require(work.decodeStep(rows: 1, positions: 30))
        let five = try #require(work.decodeStep(rows: 5, positions: 30))
        #expect(one == Work(bytes: Double(2 * elements + 1280), operations: Double(2 * elements + 2560)))
        #expect(five.bytes - one.bytes == 4 * 1280)
        #expect(five.operations == 5 * one.operations)
    }

    /// All but the head.
    @Test func weightsOfBytesAreHalfAsLargeAndHaveAPeakOfTheirOwn() throws {
        let work = DecoderWork(Self.small, computeType: .bfloat16, quantizesWeights: true)
        let layers = 1536.0
        #expect(work.work(work.head, rows: 3) == Work(bytes: 1600, operations: 4800))
        let step = try #require(work.decodeStep(rows: 3, positions: 30))
        #expect(step.bytes == 5440 + layers)
        #expect(step.operations == 12480)
        #expect(step.byteOperations == 6 * layers)
        let roofline = Roofline(bytesPerSecond: 100, operationsPerSecond: 1000, byteOperationsPerSecond: 4000)
        #expect(roofline.floorSeconds(Work(bytes: 10, operations: 500, byteOperations: 4000)) == 1.5)
    }

    @Test func aMixturesStepHasNoFloor() {
        var mixture = Self.small
        mixture.mixture = MixtureShape(experts: 4, chosen: 2, renormalise: true, function: .silu)
        #expect(DecoderWork(mixture, computeType: .bfloat16).decodeStep(rows: 1, positions: 1) == nil)
    }

    @Test func mediansAndTheBest() {
        #expect(Samples([3, 1, 2]).median == 2)
        #expect(Samples([4, 1, 2, 3]).median == 2.5)
        #expect(Samples([4, 1, 2, 3]).best == 1)
    }

    @Test func samplesGoOnUntilThereAreEnough() {
        var runs = 0
        let taken = Samples.take(atLeast: 4, seconds: 0) { runs += 1 }
        // The first run is not among them.
        #expect(taken.count == 4 && runs == 5)
    }
}
