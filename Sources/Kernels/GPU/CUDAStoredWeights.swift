/// Weights as the checkpoint has them, in GGUF's block formats: a quarter to a half of the memory of bfloat16, and
/// of what a step of few rows must read. Products widen them as they read them, to the very numbers that loading
/// widens them to.
final class CUDAStoredWeights {
    /// Neighbouring outputs of one type.
    struct Run {
        let type: TensorType
        let rowBytes: Int
        let outputs: Int
        let firstOutput: Int
        let memory: CUDAMemory
    }

    let runs: [Run]

    /// Whether products can read every part as it is.
    static func takes(_ parts: [MatrixSource]) -> Bool {
        parts.allSatisfy { CUDALaunchGemmQuantized.takes($0.tensor.type) && !$0.transposed }
    }

    init(
        _ runtime: any CUDARuntime, parts: [MatrixSource], uploader: CUDAUploader
    ) throws(DeviceError) {
        var runs: [Run] = []
        var rest = parts[...]
        var firstOutput = 0
        while let first = rest.first {
            let same = rest.prefix { $0.tensor.type == first.tensor.type }
            rest = rest.dropFirst(same.count)
            let outputs = same.map(\.outputs).reduce(0, +)
            let rowBytes = first.tensor.rowBytes
            // Kernels read whole 16 bytes.
            let memory = try CUDAMemory(
                runtime, bytes: outputs * rowBytes + 16, for: "weights \(first.tensor.name)")
            var target = memory.address
            for part in same {
                try uploader.copyRows(part, to: target)
                target += CUDAAddress(part.outputs * rowBytes)
            }
            runs.append(
                Run(
                    type: first.tensor.type, rowBytes: rowBytes, outputs: outputs, firstOutput: firstOutput,
                    memory: memory))
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
        guard rows <= Self.mostDirectRows else {
            return try launchProduct(
                product(rows, matrix, gated: false), x, weights: widen(matrix, stored), matrix, bias: bias,
                last: accumulate ? 1 : 0, into: y)
        }
        let splits = CUDALaunchGemm.splits(outputs: matrix.outputs, inputs: matrix.inputs)
        for run in stored.runs {
            let launch = CUDALaunchGemmQuantized(
                rows: rows, outputs: run.outputs, inputs: matrix.inputs, type: run.type, splits: splits,
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
        guard rows <= Self.mostDirectRows, stored.runs.count == 1 else {
            return try launchProduct(
                product(rows, matrix, gated: true), x, weights: widen(matrix, stored), matrix, bias: bias,
                last: function.cuda, into: y)
        }
        let run = stored.runs[0]
        let launch = CUDALaunchGemmQuantized(
            rows: rows, outputs: matrix.outputs, inputs: matrix.inputs, type: run.type,
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

    /// The whole matrix as bfloat16, until the next call.
    private func widen(_ matrix: CUDAMatrix, _ stored: CUDAStoredWeights) throws(DeviceError) -> CUDAAddress {
        let target = try scratch(.widened, bytes: matrix.outputs * matrix.inputs * 2)
        for run in stored.runs {
            try launch(
                "mr_dequantize",
                CUDALaunch.dequantize(outputs: run.outputs, inputs: matrix.inputs, transposed: false), of: .tables,
                .address(run.memory.address), .int(Int(run.type.rawValue)), .long(run.rowBytes), .address(0),
                .int(0), .address(target + CUDAAddress(run.firstOutput * matrix.inputs * 2)), .int(run.outputs),
                .int(matrix.inputs))
        }
        return target
    }
}
