/// Mixtures of experts (mixture.cu): rows are routed and grouped on the device, so that a graph can hold it all.
extension CUDADevice {
    package func addMixture(
        _ x: CUDAActivation, router: CUDAMatrix, gateUp: [CUDAMatrix], down: [CUDAMatrix], _ shape: MixtureShape,
        to y: CUDAActivation
    ) {
        precondition(x.width == router.inputs && y.width == router.inputs && x !== y && !y.isRounded)
        precondition(
            router.outputs == shape.experts && gateUp.count == shape.experts && down.count == shape.experts)
        precondition(shape.chosen > 0 && shape.chosen <= shape.experts)
        for (gate, back) in zip(gateUp, down) {
            precondition(gate.inputs == router.inputs && gate.outputs == 2 * back.inputs)
            precondition(back.outputs == router.inputs && back.inputs == down[0].inputs)
        }
        attempt { () throws(DeviceError) in
            guard computeType == .bfloat16 else {
                throw .unsupported("a mixture of experts in float32 on a GPU; leave --dtype out")
            }
            let launch = CUDALaunchMixture(
                rows: step.rows, experts: shape.experts, chosen: shape.chosen, hidden: router.inputs,
                inner: down[0].inputs)
            guard shape.experts <= CUDALaunchMixture.expertLimit else {
                throw .unsupported(
                    "a mixture of \(shape.experts) experts; the GPU takes up to "
                        + "\(CUDALaunchMixture.expertLimit)")
            }
            let input = try input(x)
            let space = try MixtureSpace(self, launch, capacity: y.maxRows)
            try multiply(
                input, rows: step.rows, padded: step.productRows, router, bias: nil, accumulate: false,
                into: space.scores)
            try run(launch, space, input, shape, try expertTables(gateUp, down), into: y.floatAddress())
        }
    }

    /// A mixture's experts as its kernels find them. Belongs to the first expert's matrix and keeps the others, so that
    /// the addresses in the tables are of weights that are there.
    struct ExpertTables {
        let gateUp: ExpertTable
        let down: ExpertTable
        private let others: [CUDAMatrix]

        init(gateUp: ExpertTable, down: ExpertTable, others: [CUDAMatrix]) {
            self.gateUp = gateUp
            self.down = down
            self.others = others
        }

        func areOf(_ matrices: [CUDAMatrix]) -> Bool {
            others.count == matrices.count && zip(others, matrices).allSatisfy { $0 === $1 }
        }
    }

    /// Where the experts' weights lie, `[experts]` addresses in device memory, and what they are.
    struct ExpertTable {
        let memory: CUDAMemory
        /// nil: bfloat16.
        let format: CUDAWeightFormat?
        let rowBytes: Int
    }

    private func expertTables(_ gateUp: [CUDAMatrix], _ down: [CUDAMatrix]) throws(DeviceError) -> ExpertTables {
        let others = Array(gateUp.dropFirst()) + down
        if let known = gateUp[0].expertTables, known.areOf(others) { return known }
        func table(_ matrices: [CUDAMatrix]) throws(DeviceError) -> ExpertTable {
            var addresses: [CUDAAddress] = []
            var formats: Set<CUDAWeightFormat?> = []
            for matrix in matrices {
                switch matrix.storage {
                case .widened(let memory):
                    addresses.append(memory.address)
                    formats.insert(nil)
                case .stored(let stored):
                    precondition(stored.order == nil, "an expert's inputs are in an order of their own")
                    addresses.append(stored.runs[0].memory.address)
                    for run in stored.runs { formats.insert(run.format) }
                }
            }
            guard formats.count == 1, let format = formats.first else {
                throw .unsupported("experts whose weights are of different types; leave --weights out")
            }
            let memory = try CUDAMemory(runtime, bytes: matrices.count * 8, for: "a table of experts")
            try runtime.uploadNow(addresses, to: memory.address)
            let inputs = matrices[0].inputs
            return ExpertTable(
                memory: memory, format: format, rowBytes: format?.rowBytes(inputs) ?? inputs * 2)
        }
        let made = ExpertTables(gateUp: try table(gateUp), down: try table(down), others: others)
        gateUp[0].expertTables = made
        return made
    }

    /// What the kernels hand on, for as many rows as a step can have.
    private struct MixtureSpace {
        let scores, choices, weights, members, slots, tiles, inner, out: CUDAAddress

        init(_ device: CUDADevice, _ launch: CUDALaunchMixture, capacity: Int) throws(DeviceError) {
            let choices = capacity * launch.chosen
            // Small steps have small tiles, so at most a tile for every choice.
            let tileLimit = choices + launch.experts
            scores = try device.scratch(.mixture(0), bytes: capacity * launch.experts * 4)
            self.choices = try device.scratch(.mixture(1), bytes: choices * 4)
            weights = try device.scratch(.mixture(2), bytes: choices * 4)
            members = try device.scratch(.mixture(3), bytes: choices * 4)
            slots = try device.scratch(.mixture(4), bytes: choices * 4)
            tiles = try device.scratch(.mixture(5), bytes: tileLimit * 16)
            inner = try device.scratch(.mixture(6), bytes: choices * launch.inner * 2)
            out = try device.scratch(.mixture(7), bytes: choices * launch.hidden * 4)
        }
    }

    private func run(
        _ launch: CUDALaunchMixture, _ space: MixtureSpace, _ x: CUDAAddress, _ shape: MixtureShape,
        _ experts: ExpertTables, into y: CUDAAddress
    ) throws(DeviceError) {
        func go(
            _ what: CUDALaunchShape, of format: CUDAWeightFormat? = nil, _ arguments: CUDAArgument...
        ) throws(DeviceError) {
            let macros = format.map { ["MR_WEIGHT_TYPE": $0.number] } ?? [:]
            try runtime.launch(
                runtime.kernel(what.kernel, of: .mixture, macros: macros), CUDAGeometry(what), arguments)
        }
        try go(
            launch.route, .address(space.scores), .address(space.choices), .address(space.weights),
            .int(launch.experts), .int(launch.chosen), .int(shape.renormalise ? 1 : 0))
        try go(
            launch.group, .address(space.choices), .address(space.members), .address(space.slots),
            .address(space.tiles), .int(launch.choices), .int(launch.chosen), .int(launch.experts),
            .int(launch.tokens), .int(launch.tileLimit))
        try go(
            launch.gateUp(experts.gateUp.format), of: experts.gateUp.format, .address(x),
            .address(experts.gateUp.memory.address), .long(experts.gateUp.rowBytes),
            .address(space.members), .address(space.tiles), .address(space.inner), .int(2 * launch.inner),
            .int(launch.hidden), .int(shape.function.cuda))
        try go(
            launch.down(experts.down.format), of: experts.down.format, .address(space.inner),
            .address(experts.down.memory.address), .long(experts.down.rowBytes),
            .address(space.tiles), .address(space.out), .int(launch.hidden), .int(launch.inner))
        try go(
            launch.add, .address(space.out), .address(space.slots), .address(space.weights), .address(y),
            .int(launch.chosen), .int(launch.hidden))
    }
}
