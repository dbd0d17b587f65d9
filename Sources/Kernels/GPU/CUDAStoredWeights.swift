/// Weights as the checkpoint has them, in GGUF's block formats or in groups: a quarter to a half of the memory of
/// bfloat16, and of what a step of few rows must read. Products widen them as they read them, to the very numbers that
/// loading widens them to.
final class CUDAStoredWeights {
    /// Neighbouring outputs of one format.
    struct Run {
        let format: CUDAWeightFormat
        let rowBytes: Int
        let outputs: Int
        let firstOutput: Int
        let memory: CUDAMemory
    }

    /// How the parts of a matrix can be stored.
    struct Plan {
        /// Of each part.
        let formats: [CUDAWeightFormat]
        /// Of the inputs of all parts; nil: as they are.
        let order: [Int32]?
    }

    let runs: [Run]
    /// Input at each position of the rows, int32; nil: as they are.
    let order: CUDAMemory?

    /// - Returns: nil where products cannot read every part as it is and nobody expects it.
    /// - Throws: where they cannot, though the weights are quantised.
    static func plan(_ parts: [MatrixSource]) throws(CUDAGroupLayout.Obstacle) -> Plan? {
        var formats: [CUDAWeightFormat] = []
        var orders: Set<[Int32]?> = []
        for part in parts {
            switch part.weights {
            case .tensor(let tensor):
                guard CUDAWeightFormat.takes(tensor.type), !part.transposed else {
                    let groups = parts.contains { if case .groups = $0.weights { true } else { false } }
                    guard groups else { return nil }
                    throw CUDAGroupLayout.Obstacle(reason: "it is stacked with weights that are not quantised")
                }
                formats.append(.blocks(tensor.type))
                orders.insert(nil)
            case .groups(let groups):
                let layout = try CUDAGroupLayout(groups)
                guard layout.order == nil || !part.isExpert else {
                    throw CUDAGroupLayout.Obstacle(reason: "it is an expert whose inputs are grouped out of order")
                }
                formats.append(layout.format)
                orders.insert(layout.order)
            }
        }
        guard orders.count == 1, let order = orders.first else {
            throw CUDAGroupLayout.Obstacle(reason: "it is stacked with weights whose inputs are grouped otherwise")
        }
        return Plan(formats: formats, order: order)
    }

    init(
        _ runtime: any CUDARuntime, parts: [MatrixSource], _ plan: Plan, uploader: CUDAUploader
    ) throws(DeviceError) {
        let inputs = parts[0].inputs
        if let places = plan.order {
            let memory = try CUDAMemory(runtime, bytes: inputs * 4, for: "an order of inputs")
            try runtime.uploadNow(places, to: memory.address)
            order = memory
        } else {
            order = nil
        }
        var runs: [Run] = []
        var rest = zip(parts, plan.formats).map { $0 }[...]
        var firstOutput = 0
        while let (first, format) = rest.first {
            let same = rest.prefix { $0.1 == format }.map(\.0)
            rest = rest.dropFirst(same.count)
            let outputs = same.map(\.outputs).reduce(0, +)
            let rowBytes = format.rowBytes(inputs)
            // Kernels read whole 16 bytes.
            let memory = try CUDAMemory(runtime, bytes: outputs * rowBytes + 16, for: "weights \(first.name)")
            var target = memory.address
            for part in same {
                switch part.weights {
                case .tensor(let tensor): try uploader.copyRows(tensor, order: part.rowOrder, to: target)
                case .groups(let groups):
                    try uploader.repack(groups, format, order: order?.address ?? 0, into: target)
                }
                target += CUDAAddress(part.outputs * rowBytes)
            }
            runs.append(
                Run(format: format, rowBytes: rowBytes, outputs: outputs, firstOutput: firstOutput, memory: memory))
            firstOutput += outputs
        }
        self.runs = runs
    }
}

extension CUDADevice {
    /// Up to here products read stored weights directly; for more rows they are widened once for all.
    private static let mostDirectRows = 64

    /// y = x·Wᵀ + bias, or += that; the same bits for any number of rows.
    func multiplyStored(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, _ stored: CUDAStoredWeights, bias: CUDAVector?,
        accumulate: Bool, into y: CUDAAddress
    ) throws(DeviceError) {
        let x = try ordered(x, rows: rows, matrix, stored)
        guard rows <= Self.mostDirectRows else {
            return try launchProduct(
                product(rows, matrix, gated: false), x, weights: widen(matrix, stored), matrix, bias: bias,
                last: accumulate ? 1 : 0, into: y)
        }
        let splits = CUDALaunchGemm.splits(outputs: matrix.outputs, inputs: matrix.inputs)
        for run in stored.runs {
            let launch = CUDALaunchGemmQuantized(
                rows: rows, outputs: run.outputs, inputs: matrix.inputs, format: run.format, splits: splits,
                multiprocessors: runtime.properties.multiprocessors)
            let space = try productSpace(launch.workspace)
            let skipped = CUDAAddress(run.firstOutput * 4)
            try runtime.launch(
                runtime.kernel(launch.shape.kernel, of: .gemmQuantized, macros: launch.macros),
                CUDAGeometry(launch.shape),
                [
                    .address(x), .address(run.memory.address), .long(run.rowBytes),
                    .address(bias.map { $0.address + skipped } ?? 0), .address(y + skipped), .int(matrix.outputs),
                    .address(space.partial), .address(space.counters), .int(rows), .int(run.outputs),
                    .int(matrix.inputs), .int(splits), .int(accumulate ? 1 : 0),
                ])
        }
    }

    /// y = function(x·gateᵀ + b) * (x·upᵀ + b), rounded.
    func multiplyGatedStored(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, _ stored: CUDAStoredWeights, bias: CUDAVector?,
        function: ActivationFunction, into y: CUDAAddress
    ) throws(DeviceError) {
        let x = try ordered(x, rows: rows, matrix, stored)
        guard rows <= Self.mostDirectRows, stored.runs.count == 1 else {
            return try launchProduct(
                product(rows, matrix, gated: true), x, weights: widen(matrix, stored), matrix, bias: bias,
                last: function.cuda, into: y)
        }
        let run = stored.runs[0]
        let launch = CUDALaunchGemmQuantized(
            rows: rows, outputs: matrix.outputs, inputs: matrix.inputs, format: run.format,
            splits: CUDALaunchGemm.splits(outputs: matrix.outputs, inputs: matrix.inputs), gated: true,
            multiprocessors: runtime.properties.multiprocessors)
        let space = try productSpace(launch.workspace)
        try runtime.launch(
            runtime.kernel(launch.shape.kernel, of: .gemmQuantized, macros: launch.macros),
            CUDAGeometry(launch.shape),
            [
                .address(x), .address(run.memory.address), .long(run.rowBytes), .address(bias?.address ?? 0),
                .address(y), .address(space.partial), .address(space.counters), .int(rows), .int(matrix.outputs),
                .int(matrix.inputs), .int(launch.splits), .int(function.cuda),
            ])
    }

    /// x with its inputs in the order of the weights, until the next call.
    private func ordered(
        _ x: CUDAAddress, rows: Int, _ matrix: CUDAMatrix, _ stored: CUDAStoredWeights
    ) throws(DeviceError) -> CUDAAddress {
        guard let order = stored.order else { return x }
        let target = try scratch(.ordered, bytes: rows * matrix.inputs * 2)
        try launch(
            "mr_reorder_inputs", CUDALaunch.rows(rows, width: matrix.inputs, block: 128), of: .groups, .address(x),
            .address(order.address), .address(target), .int(matrix.inputs))
        return target
    }

    /// The whole matrix as bfloat16, until the next call.
    private func widen(_ matrix: CUDAMatrix, _ stored: CUDAStoredWeights) throws(DeviceError) -> CUDAAddress {
        let target = try scratch(.widened, bytes: matrix.outputs * matrix.inputs * 2)
        for run in stored.runs {
            let part = target + CUDAAddress(run.firstOutput * matrix.inputs * 2)
            let geometry = CUDALaunch.dequantize(outputs: run.outputs, inputs: matrix.inputs, transposed: false)
            switch run.format {
            case .blocks(let type):
                try launch(
                    "mr_dequantize", geometry, of: .tables, .address(run.memory.address), .int(Int(type.rawValue)),
                    .long(run.rowBytes), .address(0), .int(0), .address(part), .int(run.outputs), .int(matrix.inputs))
            case .groups:
                try launch(
                    "mr_widen_groups", geometry, of: .groups, .address(run.memory.address), .address(part),
                    .int(matrix.inputs), .int(run.format.number))
            }
        }
        return target
    }
}
