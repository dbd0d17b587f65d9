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
            let launch = CUDALaunchMixture(
                rows: step.rows, experts: shape.experts, chosen: shape.chosen, hidden: router.inputs,
                inner: down[0].inputs)
            guard shape.experts <= CUDALaunchMixture.expertLimit, router.inputs % 8 == 0, launch.inner % 8 == 0 else {
                throw .unsupported(
                    "a mixture of \(shape.experts) experts of \(router.inputs) by \(launch.inner); the GPU takes up to "
                        + "\(CUDALaunchMixture.expertLimit) and widths that are multiples of 8")
            }
            let input = try input(x)
            let space = try MixtureSpace(self, launch, capacity: y.maxRows)
            try multiply(
                input, rows: step.rows, padded: step.productRows, router, bias: nil, accumulate: false,
                into: space.scores)
            try run(launch, space, input, shape, try expertTables(gateUp, down), into: y.floatAddress())
        }
    }

    /// Addresses of the experts' weights in device memory, `[experts]` each.
    struct ExpertTables {
        let gateUp: CUDAMemory
        let down: CUDAMemory
    }

    private func expertTables(_ gateUp: [CUDAMatrix], _ down: [CUDAMatrix]) throws(DeviceError) -> ExpertTables {
        let key = ObjectIdentifier(gateUp[0])
        if let known = expertTables[key] { return known }
        func table(_ matrices: [CUDAMatrix]) throws(DeviceError) -> CUDAMemory {
            let memory = try CUDAMemory(runtime, bytes: matrices.count * 8, for: "a table of experts")
            try runtime.uploadNow(matrices.map(\.weights), to: memory.address)
            return memory
        }
        let made = ExpertTables(gateUp: try table(gateUp), down: try table(down))
        expertTables[key] = made
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
        func go(_ what: CUDALaunchShape, _ arguments: CUDAArgument...) throws(DeviceError) {
            try runtime.launch(
                runtime.kernel(what.kernel, of: .mixture, macros: [:]), CUDAGeometry(what), arguments)
        }
        try go(
            launch.route, .address(space.scores), .address(space.choices), .address(space.weights),
            .int(launch.experts), .int(launch.chosen), .int(shape.renormalise ? 1 : 0))
        try go(
            launch.group, .address(space.choices), .address(space.members), .address(space.slots),
            .address(space.tiles), .int(launch.choices), .int(launch.chosen), .int(launch.experts),
            .int(launch.tokens), .int(launch.tileLimit))
        try go(
            launch.gateUp(nil), .address(x), .address(experts.gateUp.address), .long(launch.hidden * 2),
            .address(space.members), .address(space.tiles), .address(space.inner), .int(2 * launch.inner),
            .int(launch.hidden), .int(shape.function.cuda))
        try go(
            launch.down(nil), .address(space.inner), .address(experts.down.address), .long(launch.inner * 2),
            .address(space.tiles), .address(space.out), .int(launch.hidden), .int(launch.inner))
        try go(
            launch.add, .address(space.out), .address(space.slots), .address(space.weights), .address(y),
            .int(launch.chosen), .int(launch.hidden))
    }
}
