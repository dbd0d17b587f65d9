// Operations that work on each row (or each head of a row) by itself: embeddings, norms, activations,
// rotation.
#include "engine.h"
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
    int32_t first; // head or row
    int32_t heads;
    mr_function function;
} row_job;

static float *row(mr_rows rows, int32_t index) { return rows.data + index * rows.stride; }

static void run(mr_engine *engine, row_job *job, int32_t rows, mr_task task) {
    job->engine = engine;
    mr_pool_run(engine->pool, rows, MR_ROW_GRAIN, task, job);
}

static void embed_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        const mr_table *table = job->table;
        const char *source = (const char *)table->data +
                             (size_t)job->engine->batch.tokens[r] * table->row_bytes;
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

// Where row r of the job's y is to be computed: in place, or in `room`, from which round_row takes it while it is in
// the first-level cache.
static float *result_row(const row_job *job, int32_t r, float *room) {
    return job->y.rounded ? room : row(job->y, r);
}

static void round_row(const row_job *job, int32_t r, const float *result) {
    if (!job->y.rounded) return;
    const mr_engine *engine = job->engine;
    engine->kernels.round_inputs(result, job->width, mr_rounded_at(engine, job->y, r, job->width, 0));
}

static void rms_norm_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    _Alignas(64) float room[MR_MAX_ROUNDED_WIDTH];
    for (int32_t r = begin; r < end; r++) {
        float *y = result_row(job, r, room);
        job->engine->kernels.rms_norm(row(job->x, r), job->weight, job->epsilon, y, job->width);
        round_row(job, r, y);
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
        job->engine->kernels.add_rms_norm(
            row(job->y, r), job->weight, job->epsilon, row(job->x, r), job->width);
    }
}

void mr_add_rms_norm(
    mr_engine *engine, mr_rows y, const float *weight, float epsilon, mr_rows x, int32_t width) {
    row_job job = {.x = x, .y = y, .weight = weight, .epsilon = epsilon, .width = width};
    run(engine, &job, engine->batch.rows, add_rms_norm_rows);
}

static void layer_norm_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    _Alignas(64) float room[MR_MAX_ROUNDED_WIDTH];
    for (int32_t r = begin; r < end; r++) {
        float *y = result_row(job, r, room);
        job->engine->kernels.layer_norm(row(job->x, r), job->weight, job->bias, job->epsilon, y, job->width);
        round_row(job, r, y);
    }
}

void mr_layer_norm(
    mr_engine *engine, mr_rows x, const float *weight, const float *bias, float epsilon, mr_rows y,
    int32_t width) {
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
        .x = x,
        .first = first_head,
        .heads = heads,
        .width = head_width,
        .weight = weight,
        .epsilon = epsilon};
    run(engine, &job, engine->batch.rows, rms_norm_head_rows);
}

static void gather_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const row_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        int32_t from = job->engine->batch.logit_rows[job->first + r];
        if (job->y.rounded)
            memcpy(
                mr_rounded_at(job->engine, job->y, r, job->width, 0),
                mr_rounded_at(job->engine, job->x, from, job->width, 0),
                mr_rounded_row_bytes(job->engine, job->width));
        else
            memcpy(row(job->y, r), row(job->x, from), (size_t)job->width * 4);
    }
}

void mr_gather_logit_rows(
    mr_engine *engine, mr_rows x, int32_t first, int32_t count, mr_rows y, int32_t width) {
    row_job job = {.x = x, .y = y, .first = first, .width = width};
    run(engine, &job, count, gather_rows);
}
