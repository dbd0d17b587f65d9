// Operations that work on each row (or each head of a row) by itself: embeddings, norms, activations, rotation.
#include "engine.h"
#include "cache.h"
#include "numbers.h"

typedef struct {
    const mr_engine *engine;
    const mr_table *table;
    int32_t offset;
    float factor;
    mr_rows x;
    mr_rows y;
    const float *weight;
    const float *bias;
    float epsilon;
    int32_t width;
    int32_t first;  // head or row
    int32_t heads;
    mr_function function;
    int32_t head_width;
    const mr_rotation *rotation;
    const mr_cache *cache;
    int32_t layer;
} row_job;

static float *row(mr_rows rows, int32_t index) { return rows.data + index * rows.stride; }

static void run(mr_engine *engine, row_job *job, int32_t rows, mr_task task) {
    job->engine = engine;
    mr_pool_run(engine->pool, rows, rows / (4 * mr_pool_threads(engine->pool)) + 1, task, job);
}

static void embed_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        const mr_table *table = job->table;
        const char *source = (const char *)table->data + (size_t)job->engine->batch.tokens[r] * table->row_bytes;
        mr_dequantize_row(table->type, source, row(job->x, r), table->columns);
        if (job->factor != 1) job->engine->kernels.scale(row(job->x, r), job->factor, table->columns);
    }
}

void mr_embed(mr_engine *engine, const mr_table *table, float scale, mr_rows x) {
    row_job job = {.table = table, .factor = scale, .x = x};
    run(engine, &job, engine->batch.rows, embed_rows);
}

// Dequantizes position rows in pieces of 256, the largest block, so that no row-sized scratch is needed.
static void add_position_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    const mr_table *table = job->table;
    float piece[256];
    for (int32_t r = begin; r < end; r++) {
        size_t at = (size_t)(job->engine->batch.positions[r] + job->offset);
        const char *source = (const char *)table->data + at * table->row_bytes;
        for (int32_t c = 0; c < table->columns; c += 256) {
            int32_t count = table->columns - c < 256 ? table->columns - c : 256;
            size_t from = (size_t)c * table->row_bytes / (size_t)table->columns;
            mr_dequantize_row(table->type, source + from, piece, count);
            job->engine->kernels.add_scaled(piece, 1, row(job->x, r) + c, count);
        }
    }
}

void mr_add_positions(mr_engine *engine, const mr_table *table, int32_t offset, mr_rows x) {
    row_job job = {.table = table, .offset = offset, .x = x};
    run(engine, &job, engine->batch.rows, add_position_rows);
}

static void rms_norm_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        job->engine->kernels.rms_norm(row(job->x, r), job->weight, job->epsilon, row(job->y, r), job->width);
    }
}

void mr_rms_norm(mr_engine *engine, mr_rows x, const float *weight, float epsilon, mr_rows y, int32_t width) {
    row_job job = {.x = x, .y = y, .weight = weight, .epsilon = epsilon, .width = width};
    run(engine, &job, engine->batch.rows, rms_norm_rows);
}

static void add_rms_norm_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        job->engine->kernels.add_rms_norm(row(job->y, r), job->weight, job->epsilon, row(job->x, r), job->width);
    }
}

void mr_add_rms_norm(mr_engine *engine, mr_rows y, const float *weight, float epsilon, mr_rows x, int32_t width) {
    row_job job = {.x = x, .y = y, .weight = weight, .epsilon = epsilon, .width = width};
    run(engine, &job, engine->batch.rows, add_rms_norm_rows);
}

static void layer_norm_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        job->engine->kernels.layer_norm(
            row(job->x, r), job->weight, job->bias, job->epsilon, row(job->y, r), job->width);
    }
}

void mr_layer_norm(
    mr_engine *engine, mr_rows x, const float *weight, const float *bias, float epsilon, mr_rows y, int32_t width) {
    row_job job = {.x = x, .y = y, .weight = weight, .bias = bias, .epsilon = epsilon, .width = width};
    run(engine, &job, engine->batch.rows, layer_norm_rows);
}

static void activate_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        job->engine->kernels.activate(row(job->x, r), job->width, job->function);
    }
}

void mr_activate(mr_engine *engine, mr_rows x, int32_t width, mr_function function) {
    row_job job = {.x = x, .width = width, .function = function};
    run(engine, &job, engine->batch.rows, activate_rows);
}

static void rms_norm_head_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        float *head = row(job->x, r) + job->first * job->width;
        for (int32_t h = 0; h < job->heads; h++, head += job->width) {
            job->engine->kernels.rms_norm(head, job->weight, job->epsilon, head, job->width);
        }
    }
}

void mr_rms_norm_heads(
    mr_engine *engine, mr_rows x, int32_t first_head, int32_t heads, int32_t head_width, const float *weight,
    float epsilon) {
    row_job job = {
        .x = x, .first = first_head, .heads = heads, .width = head_width, .weight = weight, .epsilon = epsilon};
    run(engine, &job, engine->batch.rows, rms_norm_head_rows);
}

static void gather_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        int32_t from = job->engine->batch.logit_rows[job->first + r];
        memcpy(row(job->y, r), row(job->x, from), (size_t)job->width * 4);
    }
}

void mr_gather_logit_rows(mr_engine *engine, mr_rows x, int32_t first, int32_t count, mr_rows y, int32_t width) {
    row_job job = {.x = x, .y = y, .first = first, .width = width};
    run(engine, &job, count, gather_rows);
}

// Writes one head's key and value of one position; see cache.h for the layout.
static void store_head(const row_job *job, char *head, int32_t at, const float *key, const float *value) {
    int32_t width = job->cache->head_width, padded = mr_padded_width(width);
    char *values = head + mr_span_half_bytes(job->engine->bf16, width);
    if (job->engine->bf16) {
        uint16_t *k = (uint16_t *)head, *v = (uint16_t *)values + (size_t)(at / 2) * (size_t)padded * 2 + at % 2;
        for (int32_t d = 0; d < width; d++) {
            k[(d / 2 * MR_SPAN + at) * 2 + d % 2] = mr_f32_to_bf16(key[d]);
            v[2 * d] = mr_f32_to_bf16(value[d]);
        }
    } else {
        float *k = (float *)head, *v = (float *)values + (size_t)at * (size_t)padded;
        for (int32_t d = 0; d < width; d++) k[d * MR_SPAN + at] = key[d];
        memcpy(v, value, (size_t)width * 4);
    }
}

static void rotate_and_store_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    const mr_engine *engine = job->engine;
    const mr_cache *cache = job->cache;
    const mr_rotation *rotation = job->rotation;
    size_t span_bytes = mr_span_bytes(engine->bf16, cache);
    size_t head_bytes = 2 * mr_span_half_bytes(engine->bf16, cache->head_width);
    char *layer = (char *)cache->data + (size_t)job->layer * mr_layer_spans(cache) * span_bytes;
    int32_t rotated = job->heads + cache->kv_heads;
    for (int32_t r = begin; r < end; r++) {
        float *heads = row(job->x, r);
        size_t angle = (size_t)engine->batch.positions[r] * (size_t)rotation->pairs;
        for (int32_t h = 0; h < rotated && rotation->pairs > 0; h++) {
            engine->kernels.rotate(
                heads + h * cache->head_width, rotation->cosines + angle, rotation->sines + angle, rotation->pairs);
        }
        int32_t slot = engine->batch.slots[r];
        char *span = layer + (size_t)(slot / MR_SPAN) * span_bytes;
        const float *key = heads + job->heads * cache->head_width;
        const float *value = key + cache->kv_heads * cache->head_width;
        for (int32_t h = 0; h < cache->kv_heads; h++) {
            store_head(job, span + (size_t)h * head_bytes, slot % MR_SPAN, key, value);
            key += cache->head_width;
            value += cache->head_width;
        }
    }
}

void mr_rotate_and_store(
    mr_engine *engine, mr_rows qkv, int32_t query_heads, const mr_rotation *rotation, const mr_cache *cache,
    int32_t layer) {
    row_job job = {.x = qkv, .heads = query_heads, .rotation = rotation, .cache = cache, .layer = layer};
    run(engine, &job, engine->batch.rows, rotate_and_store_rows);
}
