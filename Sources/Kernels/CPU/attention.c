// Attention over the paged cache: cuts each sequence's rows into tiles, and hands tile x kv head to the
// kernels.
#include "engine.h"
#include "cache.h"

typedef struct {
    const mr_engine *engine;
    mr_rows qkv;
    mr_rows y;
    const mr_cache *cache;
    const mr_attention_shape *shape;
    const char *layer;
    const mr_row_tile *tiles;
    int32_t chunks;
} attention_job;

// Widens the spans that the tile sees from bytes to bfloat16, into the end of its scratch, and has it read them there.
static void widen(const mr_engine *engine, mr_attention_tile *tile) {
    static const int32_t first_block[1] = {0};
    int32_t padded = mr_padded_width(tile->head_width), slab;
    size_t half = mr_span_half_bytes(MR_CACHE_INT8, tile->head_width),
           wide = mr_span_half_bytes(MR_CACHE_BFLOAT16, tile->head_width);
    char *spans = tile->scratch + mr_attention_bytes(tile->position + tile->rows);
    int32_t last = (tile->position + tile->rows - 1) / MR_SPAN;
    for (int32_t s = mr_first_seen(tile->position, tile->window) / MR_SPAN; s <= last; s++) {
        const int8_t *keys = (const int8_t *)mr_tile_span(tile, s), *values = keys + half;
        const float *scales = (const float *)(const void *)(keys + padded * MR_SPAN);
        uint32_t *target = (uint32_t *)(void *)(spans + (size_t)s * 2 * wide);
        engine->kernels.widen_keys(keys, scales, padded / 2, target);
        target += wide / 4;
        scales = (const float *)(const void *)(values + padded * MR_SPAN);
        for (int32_t d = 0; d < padded; d += slab) {
            slab = mr_slab_width(padded, d);
            engine->kernels.widen_values(values + d * MR_SPAN, scales, slab, target + d * MR_SPAN / 2);
        }
    }
    tile->head = spans;
    tile->span_bytes = 2 * wide;
    tile->table = first_block;
    tile->spans_per_block = INT32_MAX;
}

// Outputs of a tile to rounded rows; `column` of the first one's row.
static void round_outputs(const attention_job *job, const mr_attention_tile *tile, int32_t row, int32_t column) {
    const mr_engine *engine = job->engine;
    int32_t count = tile->group * tile->head_width, width = job->shape->query_heads * tile->head_width;
    for (int32_t r = 0; r < tile->rows; r++) {
        const float *outputs = tile->outputs + r * tile->output_stride;
        engine->kernels.round_inputs(outputs, count, mr_rounded_at(engine, job->y, row + r, width, column));
    }
}

// Item i is query chunk i % chunks of kv head i / chunks % kv_heads of tile i / chunks / kv_heads; a chunk is
// up to MR_TILE_QUERIES of the query heads that share the kv head.
static void attend(void *context, int32_t begin, int32_t end, int32_t thread) {
    const attention_job *job = context;
    const mr_engine *engine = job->engine;
    const mr_cache *cache = job->cache;
    int32_t group = job->shape->query_heads / cache->kv_heads;
    size_t head_bytes = mr_span_head_bytes(cache);
    _Alignas(64) float outputs[MR_TILE_QUERIES * MR_MAX_HEAD_WIDTH];
    for (int32_t i = begin; i < end; i++) {
        const mr_row_tile *rows = &job->tiles[i / job->chunks / cache->kv_heads];
        const mr_sequence *sequence = &engine->batch.sequences[rows->sequence];
        int32_t head = i / job->chunks % cache->kv_heads, row = sequence->first_row + rows->first;
        int32_t first = i % job->chunks * MR_TILE_QUERIES;
        ptrdiff_t column = ((ptrdiff_t)head * group + first) * cache->head_width;
        mr_attention_tile tile = {
            .queries = job->qkv.data + row * job->qkv.stride + column,
            .query_stride = job->qkv.stride,
            .outputs = job->y.data + row * job->y.stride + column,
            .output_stride = job->y.stride,
            .rows = rows->rows,
            .group = group - first < MR_TILE_QUERIES ? group - first : MR_TILE_QUERIES,
            .head_width = cache->head_width,
            .position = sequence->start + rows->first,
            .window = job->shape->window,
            .scale = job->shape->scale,
            .soft_cap = job->shape->soft_cap,
            .head = job->layer + (size_t)head * head_bytes,
            .span_bytes = mr_span_bytes(cache),
            .table = engine->batch.block_tables + sequence->table_offset,
            .spans_per_block = cache->block_size / MR_SPAN,
            .scratch = (char *)engine->attention.data + (size_t)thread * engine->attention_slice,
        };
        if (job->y.rounded) {
            tile.outputs = outputs;
            tile.output_stride = (ptrdiff_t)tile.group * tile.head_width;
        }
        if (cache->type == MR_CACHE_INT8) widen(engine, &tile);
        if (engine->bf16)
            engine->kernels.attend_bf16(&tile);
        else
            engine->kernels.attend_f32(&tile);
        if (job->y.rounded) round_outputs(job, &tile, row, (int32_t)column);
    }
}

static int32_t cut_tiles(const mr_engine *engine, int32_t rows_per_tile) {
    mr_row_tile *tiles = engine->tiles.data;
    int32_t count = 0;
    for (int32_t s = 0; s < engine->batch.sequence_count; s++) {
        int32_t rows = engine->batch.sequences[s].row_count;
        for (int32_t first = 0; first < rows; first += rows_per_tile) {
            int32_t left = rows - first;
            tiles[count++] = (mr_row_tile){s, first, left < rows_per_tile ? left : rows_per_tile};
        }
    }
    return count;
}

void mr_attention(
    mr_engine *engine, mr_rows qkv, const mr_cache *cache, int32_t layer, const mr_attention_shape *shape,
    mr_rows y) {
    int32_t group = shape->query_heads / cache->kv_heads;
    int32_t rows_per_tile = group >= MR_TILE_QUERIES ? 1 : MR_TILE_QUERIES / group;
    int32_t tiles = cut_tiles(engine, rows_per_tile);
    size_t layer_bytes = mr_layer_spans(cache) * mr_span_bytes(cache);
    attention_job job = {
        .engine = engine,
        .qkv = qkv,
        .y = y,
        .cache = cache,
        .shape = shape,
        .tiles = engine->tiles.data,
        .layer = (const char *)cache->data + (size_t)layer * layer_bytes};
    job.chunks = (group + MR_TILE_QUERIES - 1) / MR_TILE_QUERIES;
    int32_t items = tiles * cache->kv_heads * job.chunks;
    mr_pool_run(engine->pool, items, 1, attend, &job);
}
