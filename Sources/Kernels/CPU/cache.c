// Writing the KV cache: rotation of queries and keys, then keys and values into their slots. Layout: cache.h.
#include "bytes.h"
#include "cache.h"
#include <math.h>
#include <string.h>

size_t mr_cache_block_bytes(const mr_cache *shape) {
    return mr_span_bytes(shape) * (size_t)(shape->block_size / MR_SPAN) * (size_t)shape->layers;
}

// Keys are scattered as 32-bit words (a pair of dimensions, or one float32), one to each vector of a span.
static void scatter_words(uint32_t *target, const void *source, int32_t count) {
    const uint32_t *words = source;
    for (int32_t i = 0; i < count; i++) target[(size_t)i * MR_SPAN] = words[i];
}

static void store_floats(int32_t width, char *head, int32_t at, const float *key, const float *value) {
    float *values = (float *)(void *)(head + mr_span_half_bytes(MR_CACHE_FLOAT32, width));
    int32_t padded = mr_padded_width(width);
    scatter_words((uint32_t *)(void *)head + at, key, width);
    for (int32_t d = 0; d < width; d += MR_SLAB) {
        size_t count = (size_t)(width - d < MR_SLAB ? width - d : MR_SLAB);
        memcpy(values + mr_value_word(padded, MR_SPAN, at, d), value + d, count * 4);
    }
}

static void store_bf16(
    const mr_engine *engine, int32_t width, char *head, int32_t at, const float *key, const float *value) {
    uint16_t *values = (uint16_t *)(void *)(head + mr_span_half_bytes(MR_CACHE_BFLOAT16, width));
    uint16_t rounded[MR_MAX_HEAD_WIDTH + 1];
    engine->kernels.to_bf16(key, width, rounded);
    scatter_words((uint32_t *)(void *)head + at, rounded, (width + 1) / 2);
    engine->kernels.to_bf16(value, width, rounded);
    int32_t padded = mr_padded_width(width);
    for (int32_t d = 0; d < width; d += MR_SLAB) {
        int32_t count = width - d < MR_SLAB ? width - d : MR_SLAB;
        uint16_t *target = values + 2 * mr_value_word(padded, MR_SPAN / 2, at / 2, d) + at % 2;
        for (int32_t i = 0; i < count; i++) target[2 * i] = rounded[d + i];
    }
}

static void store_bytes(int32_t width, char *head, int32_t at, const float *key, const float *value) {
    size_t half = mr_span_half_bytes(MR_CACHE_INT8, width);
    int32_t padded = mr_padded_width(width);
    int8_t bytes[MR_MAX_HEAD_WIDTH], *keys = (int8_t *)head, *values = (int8_t *)head + half;
    float *scales = (float *)(void *)(head + padded * MR_SPAN);
    scales[at] = mr_round_row(key, width, bytes);
    for (int32_t d = 0; d < width; d++) keys[(d / 2 * MR_SPAN + at) * 2 + d % 2] = bytes[d];
    scales = (float *)(void *)((char *)scales + half);
    scales[at] = mr_round_row(value, width, bytes);
    for (int32_t d = 0; d < width; d++) {
        values[2 * mr_value_word(padded, MR_SPAN / 2, at / 2, d) + (size_t)at % 2] = bytes[d];
    }
}

void mr_store_head(
    const mr_engine *engine, mr_cache_type type, int32_t width, char *head, int32_t at, const float *key,
    const float *value) {
    switch (type) {
    case MR_CACHE_FLOAT32: store_floats(width, head, at, key, value); break;
    case MR_CACHE_BFLOAT16: store_bf16(engine, width, head, at, key, value); break;
    case MR_CACHE_INT8: store_bytes(width, head, at, key, value); break;
    }
}

enum {
    LARGE_PAGE = 2 << 20,
    SMALL_PAGE = 4096,
};

typedef struct {
    char *first; // of layer 0
    size_t bytes; // of each layer
    size_t layer_bytes; // from layer to layer
    int32_t pieces; // large pages of each layer
} supply_job;

static void supply_pieces(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const supply_job *job = context;
    for (int32_t i = begin; i < end; i++) {
        size_t from = (size_t)(i % job->pieces) * LARGE_PAGE;
        size_t to = from + LARGE_PAGE < job->bytes ? from + LARGE_PAGE : job->bytes;
        volatile char *layer = job->first + (size_t)(i / job->pieces) * job->layer_bytes;
        // Writing what is there: reading alone would map a page of zeros that is replaced when it is written.
        for (size_t at = from; at < to; at += SMALL_PAGE) layer[at] = layer[at];
        layer[to - 1] = layer[to - 1];
    }
}

int32_t mr_supply_blocks(mr_engine *engine, const mr_cache *cache, int32_t first, int32_t end) {
    size_t block = mr_span_bytes(cache) * (size_t)(cache->block_size / MR_SPAN);
    int32_t page = (int32_t)((LARGE_PAGE + block - 1) / block);
    int32_t limit = cache->blocks - end < page ? cache->blocks : (end + page - 1) / page * page;
    if (limit <= first) return first;
    supply_job job = {
        .first = (char *)cache->data + (size_t)first * block,
        .bytes = (size_t)(limit - first) * block,
        .layer_bytes = (size_t)cache->blocks * block};
    job.pieces = (int32_t)((job.bytes + LARGE_PAGE - 1) / LARGE_PAGE);
    mr_pool_run(engine->pool, job.pieces * cache->layers, 1, supply_pieces, &job);
    return limit;
}

void mr_poison_blocks(const mr_engine *engine, const mr_cache *cache, int32_t first, int32_t count) {
    float nan[MR_MAX_HEAD_WIDTH];
    for (int32_t d = 0; d < MR_MAX_HEAD_WIDTH; d++) nan[d] = NAN;
    size_t head_bytes = mr_span_head_bytes(cache);
    size_t per_block = (size_t)(cache->block_size / MR_SPAN) * (size_t)cache->kv_heads;
    for (int32_t layer = 0; layer < cache->layers; layer++) {
        char *blocks = (char *)cache->data +
                       (size_t)layer * mr_layer_spans(cache) * mr_span_bytes(cache);
        for (size_t head = (size_t)first * per_block; head < (size_t)(first + count) * per_block; head++) {
            for (int32_t at = 0; at < MR_SPAN; at++) {
                mr_store_head(engine, cache->type, cache->head_width, blocks + head * head_bytes, at, nan, nan);
            }
        }
    }
}

typedef struct {
    const mr_engine *engine;
    mr_rows x;
    int32_t heads; // of queries
    const mr_rotation *rotation;
    const mr_cache *cache;
    int32_t layer;
} store_job;

static void rotate_and_store_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const store_job *job = context;
    const mr_engine *engine = job->engine;
    const mr_cache *cache = job->cache;
    const mr_rotation *rotation = job->rotation;
    size_t span_bytes = mr_span_bytes(cache), head_bytes = mr_span_head_bytes(cache);
    char *layer = (char *)cache->data + (size_t)job->layer * mr_layer_spans(cache) * span_bytes;
    int32_t rotated = job->heads + cache->kv_heads;
    for (int32_t r = begin; r < end; r++) {
        float *heads = job->x.data + r * job->x.stride;
        size_t angle = (size_t)engine->batch.positions[r] * (size_t)rotation->pairs;
        for (int32_t h = 0; h < rotated && rotation->pairs > 0; h++) {
            engine->kernels.rotate(
                heads + h * cache->head_width, rotation->cosines + angle, rotation->sines + angle,
                rotation->pairs);
        }
        int32_t slot = engine->batch.slots[r];
        char *span = layer + (size_t)(slot / MR_SPAN) * span_bytes;
        const float *key = heads + job->heads * cache->head_width;
        const float *value = key + cache->kv_heads * cache->head_width;
        for (int32_t h = 0; h < cache->kv_heads; h++) {
            char *head = span + (size_t)h * head_bytes;
            mr_store_head(engine, cache->type, cache->head_width, head, slot % MR_SPAN, key, value);
            key += cache->head_width;
            value += cache->head_width;
        }
    }
}

void mr_rotate_and_store(
    mr_engine *engine, mr_rows qkv, int32_t query_heads, const mr_rotation *rotation, const mr_cache *cache,
    int32_t layer) {
    store_job job = {
        .engine = engine,
        .x = qkv,
        .heads = query_heads,
        .rotation = rotation,
        .cache = cache,
        .layer = layer};
    int32_t rows = engine->batch.rows;
    mr_pool_run(engine->pool, rows, MR_ROW_GRAIN, rotate_and_store_rows, &job);
}
