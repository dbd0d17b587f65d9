/// Choosing tokens where the logits are, so that only ids and wanted log-probabilities cross the bus.
extension CUDADevice {
    package var choosesTokens: Bool { true }

    package func choose(
        _ x: CUDAActivation, rows: Int, _ matrix: CUDAMatrix, bias: CUDAVector?, softCap: Float?,
        _ batch: CUDASamplingBatch
    ) throws -> [CUDASamplingBatch.Choice] {
        precondition(batch.rowCount == rows)
        guard rows > 0 else { return [] }
        let logits = try deviceLogits(x, rows: rows, matrix, bias: bias, softCap: softCap)
        let stride = batch.isPlainlyGreedy ? 2 : batch.resultStride
        let results = try scratch(.choices, bytes: x.maxRows * stride * 4)
        if batch.isPlainlyGreedy {
            try launchArgmax(logits, rows: rows, capacity: x.maxRows, vocabulary: matrix.outputs, into: results)
        } else {
            try launchSampling(logits, vocabulary: matrix.outputs, batch, into: results)
        }
        let buffer = try logitsBuffer(bytes: rows * stride * 4)
        try runtime.download(results, into: UnsafeMutableRawBufferPointer(start: buffer, count: rows * stride * 4))
        isUnderWay = false
        let values = UnsafeBufferPointer(start: buffer.assumingMemoryBound(to: Int32.self), count: rows * stride)
        return (0..<rows).map { row in
            CUDASamplingBatch.choice(
                from: values[row * stride..<(row + 1) * stride], topWidth: batch.topWidth,
                topLogprobs: batch.isPlainlyGreedy ? nil : batch.topLogprobs(row), vocabulary: matrix.outputs)
        }
    }

    private func launchArgmax(
        _ logits: CUDAAddress, rows: Int, capacity: Int, vocabulary: Int, into results: CUDAAddress
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
                .address(0),
            ])
    }

    private func launchSampling(
        _ logits: CUDAAddress, vocabulary: Int, _ batch: CUDASamplingBatch, into results: CUDAAddress
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
                .address(results), .int(batch.topWidth), .address(0), .address(0),
            ])
    }
}
