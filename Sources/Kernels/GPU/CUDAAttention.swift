/// Paged attention by attention.cu; by attention_any.cu for head widths that have no tensor-core kernel.
extension CUDADevice {
    private func launches(_ cache: CacheShape, _ shape: AttentionShape) -> CUDALaunchAttention {
        CUDALaunchAttention(
            headWidth: shape.headWidth, group: shape.queryHeads / shape.keyValueHeads,
            keyValueHeads: shape.keyValueHeads, multiprocessors: runtime.properties.multiprocessors,
            sharedLimit: runtime.properties.sharedBytes, cacheBytes: cacheType.elementBytes)
    }

    /// y = attention of `queries` `[rows, queryHeads * headWidth]` over the cache.
    func attend(
        _ queries: CUDAAddress, _ cache: CUDACache, layer: Int, _ shape: AttentionShape, into y: CUDAAddress
    ) throws(DeviceError) {
        let launches = launches(cache.shape, shape)
        let call = Call(queries: queries, cache: cache, layer: layer, shape: shape, y: y, launches: launches)
        guard launches.hasTensorCores, computeType == .bfloat16 else { return try attendAnyWidth(call) }
        if step.isDecode { return try decode(call, sequences: step.sequences, maxRows: 1) }
        // What fits one tile is decode's, too: it reads keys and values once either way.
        let decodeRows = max(1, 16 / launches.group)
        if packed.sequences.contains(where: { (1...decodeRows).contains($0.rows.count) }) {
            try decode(call, sequences: step.sequences, maxRows: decodeRows)
        }
        try prefill(call, decodeRows: decodeRows)
    }

    private struct Call {
        var queries: CUDAAddress
        var cache: CUDACache
        var layer: Int
        var shape: AttentionShape
        var y: CUDAAddress
        var launches: CUDALaunchAttention

        /// A window longer than any Int32 position sees everything.
        var window: CUDAArgument { .int(min(shape.window ?? 0, Int(Int32.max / 2))) }
        var scale: CUDAArgument { .float(shape.scale) }
        var softCap: CUDAArgument { .float(shape.softCap ?? 0) }
        var keyValueHeads: CUDAArgument { .int(shape.keyValueHeads) }
        var macros: [String: Int] {
            cache.macros.merging([
                "MR_HEAD_WIDTH": shape.headWidth, "MR_GROUP": launches.group,
                "MR_BLOCK_SIZE": cache.shape.blockSize,
            ]) { $1 }
        }
    }

    /// Queries, keys, values, and the batch's sequences, as every attention kernel begins its arguments.
    private func opening(_ call: Call) -> [CUDAArgument] {
        let batch = batchMemory!
        return [
            .address(call.queries), .address(call.cache.keys(call.layer)),
            .address(call.cache.values(call.layer)), .address(batch.rowStarts), .address(batch.rowCounts),
            .address(batch.starts), .address(batch.tableOffsets), .address(batch.tables),
        ]
    }

    private func launch(
        _ shape: CUDALaunchShape, of source: CUDASource, _ macros: [String: Int], _ arguments: [CUDAArgument]
    ) throws(DeviceError) {
        try runtime.launch(
            runtime.kernel(shape.kernel, of: source, macros: macros), CUDAGeometry(shape), arguments)
    }

    private func decode(_ call: Call, sequences: Int, maxRows: Int) throws(DeviceError) {
        let batch = batchMemory!
        let splits = call.launches.splits(
            sequences: sequences, maxRows: maxRows, keys: step.splits * CUDALaunchAttention.splitKeys)
        let space = call.launches.workspace(sequences: sequences, maxRows: maxRows, splits: splits)
        let partial = try scratch(.partial, bytes: max(space.partial * 4, 16))
        let statistics = try scratch(.statistics, bytes: max(space.stats * 4, 16))
        try launch(
            call.launches.decode(sequences: sequences, maxRows: maxRows, splits: splits), of: .attention,
            call.macros,
            opening(call) + [
                .address(call.y), .address(partial), .address(statistics), call.keyValueHeads, .int(maxRows),
                .int(splits), call.window, call.scale, call.softCap,
            ])
        guard splits > 1 else { return }
        try launch(
            call.launches.merge(sequences: sequences, maxRows: maxRows), of: .attention, call.macros,
            [
                .address(partial), .address(statistics), .address(batch.rowStarts), .address(batch.rowCounts),
                .address(batch.starts), .address(call.y), .int(maxRows), .int(splits), call.window,
            ])
    }

    private func prefill(_ call: Call, decodeRows: Int) throws(DeviceError) {
        let batch = batchMemory!
        if step.tileCount == nil {
            let tiles = call.launches.prefillTiles(
                rowCounts: packed.sequences.lazy.map(\.rows.count), decodeRows: decodeRows)
            try batch.loadTiles(tiles, tables: packed.blockTables.count)
            step.tileCount = tiles.count / 2
        }
        guard let tiles = step.tileCount, tiles > 0 else { return }
        try launch(
            call.launches.prefill(tiles: tiles), of: .attention, call.macros,
            opening(call) + [
                .address(batch.tiles), .address(call.y), call.keyValueHeads, call.window, call.scale,
                call.softCap,
            ])
    }

    private func attendAnyWidth(_ call: Call) throws(DeviceError) {
        try launch(
            call.launches.any(rows: step.rows), of: .attentionAny,
            call.cache.macros.merging(computeType.macros) { $1 },
            opening(call) + [
                .address(call.y), .int(step.sequences), call.keyValueHeads, .int(call.launches.group),
                .int(call.shape.headWidth), .int(call.cache.shape.blockSize), call.window, call.scale,
                call.softCap,
            ])
    }
}

extension CUDAGeometry {
    init(_ shape: CUDALaunchShape) {
        self.init(
            grid: (shape.grid.x, shape.grid.y, shape.grid.z), block: shape.block, sharedBytes: shape.sharedBytes)
    }
}
