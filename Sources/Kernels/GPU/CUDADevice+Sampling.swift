/// Choosing tokens where the logits are, so that only ids and wanted log-probabilities cross the bus.
extension CUDADevice {
    package var choosesTokens: Bool { true }

    /// Tokens that were asked for, and where they will lie.
    struct ChoiceUnderWay {
        let batch: CUDASamplingBatch
        let vocabulary: Int
        /// int32 values of a row of results.
        let stride: Int
        let results: UnsafePointer<Int32>
        /// Steps begun since.
        var stepsAfter = 0
    }

    package func startChoosing(
        _ x: CUDAActivation, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, softCap: Float?,
        _ batch: CUDASamplingBatch
    ) throws {
        precondition(batch.rowCount == rows && choice == nil)
        let stride = batch.isPlainlyGreedy ? 2 : batch.resultStride
        let buffer = try logitsBuffer(bytes: rows * stride * 4)
        if rows > 0 {
            let logits = try deviceLogits(x, rows: rows, matrix, bias: bias, softCap: softCap)
            let results = try scratch(.choices, bytes: x.maxRows * stride * 4)
            let tokens = try scratch(.chosenTokens, bytes: x.maxRows * 4)
            if batch.isPlainlyGreedy {
                try launchArgmax(
                    logits, rows: rows, capacity: x.maxRows, vocabulary: matrix.outputs, into: results, tokens)
            } else {
                try launchSampling(logits, vocabulary: matrix.outputs, batch, into: results, tokens)
            }
            try runtime.startDownload(
                results, into: UnsafeMutableRawBufferPointer(start: buffer, count: rows * stride * 4))
        }
        choice = ChoiceUnderWay(
            batch: batch, vocabulary: matrix.outputs, stride: stride,
            results: UnsafePointer(buffer.assumingMemoryBound(to: Int32.self)))
    }

    package func finishChoosing() throws -> [CUDASamplingBatch.Choice] {
        guard let choice else { preconditionFailure("no choice is under way") }
        self.choice = nil
        let batch = choice.batch
        guard batch.rowCount > 0 else { return [] }
        try runtime.finishDownload()
        stepsUnderWay = choice.stepsAfter
        let values = UnsafeBufferPointer(start: choice.results, count: batch.rowCount * choice.stride)
        return (0..<batch.rowCount).map { row in
            CUDASamplingBatch.choice(
                from: values[row * choice.stride..<(row + 1) * choice.stride], topWidth: batch.topWidth,
                topLogprobs: batch.isPlainlyGreedy ? nil : batch.topLogprobs(row), vocabulary: choice.vocabulary)
        }
    }

    /// Tokens of the step's rows that the choice under way brings.
    func takeTokens(_ from: [Int32]) throws(DeviceError) {
        guard let choice, let memory = batchMemory else {
            preconditionFailure("rows await tokens of a choice that is not under way")
        }
        precondition(from.allSatisfy { Int($0) < choice.batch.rowCount }, "a row awaits a token that nobody chooses")
        try launch(
            "mr_take_tokens", CUDAGeometry(covering: from.count, perBlock: 256, block: 256),
            .address(scratch(.chosenTokens, bytes: 0)), .address(memory.chosen), .address(memory.tokens),
            .int(from.count))
    }

    private func launchArgmax(
        _ logits: CUDAAddress, rows: Int, capacity: Int, vocabulary: Int, into results: CUDAAddress,
        _ tokens: CUDAAddress
    ) throws(DeviceError) {
        let keys = try scratch(.argmaxKeys, bytes: capacity * 8, zeroed: true)
        let arrived = try scratch(.argmaxArrived, bytes: capacity * 4, zeroed: true)
        // Few rows are shared among blocks until every multiprocessor has some.
        let wanted = (4 * runtime.properties.multiprocessors + rows - 1) / rows
        let share = max(1, min((vocabulary + 4095) / 4096, wanted))
        try runtime.launch(
            runtime.kernel("mr_argmax", of: .argmax, macros: [:]), CUDAGeometry(grid: (rows, share, 1), block: 256),
            [
                .address(logits), .int(vocabulary), .address(keys), .address(arrived), .address(results),
                .address(tokens),
            ])
    }

    private func launchSampling(
        _ logits: CUDAAddress, vocabulary: Int, _ batch: CUDASamplingBatch, into results: CUDAAddress,
        _ tokens: CUDAAddress
    ) throws(DeviceError) {
        let layout = batch.layout
        let parameters = try scratch(.samplingParameters, bytes: layout.byteCount)
        let kept = try scratch(.samplingScratch, bytes: max(batch.entryCount * 4, 16))
        let host = try samplingStaging(bytes: layout.byteCount)
        batch.write(to: UnsafeMutableRawBufferPointer(start: host, count: layout.byteCount))
        try runtime.upload(UnsafeRawBufferPointer(start: host, count: layout.byteCount), to: parameters)
        func at(_ offset: Int) -> CUDAArgument { .address(parameters + CUDAAddress(offset)) }
        try runtime.launch(
            runtime.kernel("mr_sample", of: .sampling, macros: [:]),
            CUDAGeometry(rows: batch.rowCount, block: 1024),
            [
                .address(logits), .int(vocabulary), at(layout.settings), at(layout.options), at(layout.draws),
                at(layout.entries), batch.hasBiases ? at(layout.biases) : .address(0), .address(kept),
                .address(results), .int(batch.topWidth), .address(tokens), .address(0),
            ])
    }
}
