import Kernels

extension KernelChecks {
    /// Random shapes each time; `large` adds sizes that take a GPU.
    static func scenarios(
        _ draws: inout RandomNumbers, large: Bool, heads: [AttentionHeads]
    ) -> [any Scenario] {
        var all: [any Scenario] = TensorType.allCases.map { EmbeddingScenario(type: $0, seed: draws.bits()) }
        for operation in RowScenario.Operation.allCases {
            for width in [8, 64, 4 * (1 + draws.below(200)), large ? 8192 : 576] {
                all.append(
                    RowScenario(operation: operation, rows: 1 + draws.below(9), width: width, seed: draws.bits()))
            }
        }
        all += products(&draws, large: large)
        for type in TensorType.allCases {
            all.append(LogitsScenario(type: type, reordered: draws.below(2) == 0, seed: draws.bits()))
        }
        all.append(LogitsScenario(type: .f32, reordered: false, softCap: 3, seed: draws.bits()))
        all += attentions(&draws, large: large, heads)
        all += [4, 8].map { mixture(&draws, experts: $0, large: large) }
        return all
    }

    static func mixture(_ draws: inout RandomNumbers, experts: Int, large: Bool) -> any Scenario {
        MixtureScenario(
            rows: 1 + draws.below(large ? 200 : 20),
            shape: MixtureShape(
                experts: experts, chosen: max(1, experts / 4), renormalise: draws.below(2) == 0, function: .silu),
            seed: draws.bits())
    }

    private static func products(_ draws: inout RandomNumbers, large: Bool) -> [any Scenario] {
        let shapes =
            large
            ? [(1, 4096, 6144), (17, 4096, 4096), (64, 576, 960), (200, 1536, 576), (300, 2048, 2048), (3, 64, 8)]
            : [(1, 64, 40), (5, 96, 24), (17, 40, 72), (33, 128, 136)]
        var all: [any Scenario] = []
        for (number, (rows, inputs, outputs)) in shapes.enumerated() {
            all.append(
                ProductScenario(
                    rows: rows, inputs: inputs, outputs: outputs, biased: number % 2 == 1,
                    accumulates: number % 3 == 0, seed: draws.bits()))
            all.append(
                ProductScenario(
                    rows: rows, inputs: inputs, outputs: outputs, gated: true, biased: number % 3 == 1,
                    function: [.silu, .geluTanh, .gelu, .relu][number % 4], seed: draws.bits()))
        }
        return all
    }

    private static func attentions(
        _ draws: inout RandomNumbers, large: Bool, _ heads: [AttentionHeads]
    ) -> [any Scenario] {
        let long = large ? 1500 : 300
        func mixed(_ draws: inout RandomNumbers) -> [(before: Int, rows: Int)] {
            [(0, 1 + draws.below(70)), (draws.below(long), 1), (16 + draws.below(40), 2 + draws.below(30)), (long, 1)]
        }
        var all: [any Scenario] = []
        for shape in heads {
            all.append(AttentionScenario(shape, sequences: mixed(&draws), seed: draws.bits()))
        }
        let shape = heads[draws.below(heads.count)]
        all.append(AttentionScenario(shape, sequences: mixed(&draws), window: 24, seed: draws.bits()))
        all.append(
            AttentionScenario(shape, sequences: mixed(&draws), softCap: 4, rotates: false, seed: draws.bits()))
        all.append(
            AttentionScenario(shape, sequences: [(40, 1), (7, 1), (long, 1)], seed: draws.bits()))
        return all
    }
}
