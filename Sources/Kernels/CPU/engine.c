// The engine: owns the thread pool and scratch, and holds the batch of the current step.
#include "bytes.h"
#include "cache.h"
#include "numbers.h"
#include <stdlib.h>
#include <string.h>

mr_engine *mr_engine_create(mr_isa isa, bool bf16, int32_t threads) {
    mr_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) return NULL;
    mr_kernels_select(isa, &engine->kernels);
    engine->bf16 = bf16;
    engine->pool = mr_pool_create(threads < 1 ? 1 : threads);
    if (engine->pool == NULL) {
        free(engine);
        return NULL;
    }
    return engine;
}

void mr_engine_destroy(mr_engine *engine) {
    mr_pool_destroy(engine->pool);
    mr_buffer_free(&engine->inputs);
    mr_buffer_free(&engine->tiles);
    mr_buffer_free(&engine->attention);
    mr_buffer_free(&engine->mixture);
    mr_buffer_free(&engine->panels);
    free(engine->held);
    free(engine);
}

void mr_engine_parallel(mr_engine *engine, int32_t count, int32_t grain, mr_task function, void *context) {
    mr_pool_run(engine->pool, count, grain, function, context);
}

static bool reserve_attention(mr_engine *engine) {
    size_t widened = ((size_t)engine->longest + MR_SPAN) * engine->widened_bytes;
    size_t slice = mr_attention_bytes(engine->longest) + widened;
    slice = (slice + 4095) / 4096 * 4096;
    if (slice <= engine->attention_slice) return true;
    size_t grown = slice + slice / 2 / 4096 * 4096;
    if (!mr_buffer_reserve(&engine->attention, grown * (size_t)mr_pool_threads(engine->pool))) return false;
    engine->attention_slice = grown;
    return true;
}

void mr_engine_use_cache(mr_engine *engine, const mr_cache *cache) {
    size_t widened = cache->type == MR_CACHE_INT8 ? 2 * 2 * (size_t)mr_padded_width(cache->head_width) : 0;
    if (widened > engine->widened_bytes) engine->widened_bytes = widened;
}

bool mr_engine_begin(mr_engine *engine, const mr_batch *batch) {
    engine->batch = *batch;
    engine->longest = 0;
    for (int32_t i = 0; i < batch->sequence_count; i++) {
        int32_t end = batch->sequences[i].start + batch->sequences[i].row_count;
        if (end > engine->longest) engine->longest = end;
    }
    size_t tiles = (size_t)batch->rows * sizeof(mr_row_tile);
    return mr_buffer_reserve(&engine->tiles, tiles) && reserve_attention(engine);
}

size_t mr_rounded_bytes(const mr_engine *engine, int32_t rows, int32_t width) {
    return ((size_t)rows + MR_TILE_ROWS) * mr_rounded_row_bytes(engine, width);
}

void mr_widen_row(const mr_engine *engine, mr_rows rows, int32_t row, int32_t width, float *target) {
    const void *from = (const char *)rows.data + (size_t)row * mr_rounded_row_bytes(engine, width);
    if (engine->kernels.bf16_input_bytes == 4) {
        memcpy(target, from, (size_t)width * 4);
        return;
    }
    const uint16_t *values = from;
    for (int32_t i = 0; i < width; i++) target[i] = mr_bf16_to_f32(values[i]);
}

bool mr_engine_reserve_inputs(mr_engine *engine, int32_t rows, int32_t width) {
    size_t bf16 = engine->bf16 ? mr_bf16_row(engine->kernels.bf16_input_bytes, width) : 0;
    size_t bytes = mr_bytes_row(width);
    size_t stride = mr_input_stride(bf16 > bytes ? bf16 : bytes);
    // Products read whole tiles, whatever the number of rows.
    return mr_buffer_reserve(&engine->inputs, stride * ((size_t)rows + MR_TILE_ROWS));
}
