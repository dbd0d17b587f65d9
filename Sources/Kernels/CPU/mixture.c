// Mixture of experts: routes rows, then runs each expert over the rows that chose it, experts in ascending
// order, so that a row adds up its experts in an order of its own choice alone.
#include "engine.h"
#include <math.h>
#include <string.h>

typedef struct {
    mr_engine *engine;
    const mr_mixture_shape *shape;
    int32_t hidden;
    mr_rows x;
    mr_rows y;
    float *scores; // [rows][experts]
    int32_t *experts; // [rows][chosen]
    float *weights; // [rows][chosen]
    int32_t *members; // [rows] rows of the current expert
    float *shares; // [rows] their weights
    mr_rows gathered; // [rows][hidden]
    mr_rows inner; // [rows][inner width]
} mixture_job;

// Softmax over all experts; the best `chosen` (the first of equals), renormalised or as they are.
static void route_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const mixture_job *job = context;
    int32_t experts = job->shape->experts, chosen = job->shape->chosen;
    for (int32_t r = begin; r < end; r++) {
        float *scores = job->scores + (size_t)r * (size_t)experts;
        float *weights = job->weights + (size_t)r * (size_t)chosen;
        float maximum = -INFINITY, sum = 0, kept = 0;
        for (int32_t e = 0; e < experts; e++) maximum = fmaxf(maximum, scores[e]);
        for (int32_t e = 0; e < experts; e++) sum += scores[e] = expf(scores[e] - maximum);
        for (int32_t c = 0; c < chosen; c++) {
            int32_t best = 0;
            for (int32_t e = 1; e < experts; e++) {
                if (scores[e] > scores[best]) best = e;
            }
            job->experts[(size_t)r * (size_t)chosen + (size_t)c] = best;
            weights[c] = scores[best] / sum;
            kept += weights[c];
            scores[best] = -1;
        }
        for (int32_t c = 0; c < chosen && job->shape->renormalise; c++) weights[c] /= kept;
    }
}

static void gather_members(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const mixture_job *job = context;
    for (int32_t i = begin; i < end; i++) {
        memcpy(
            job->gathered.data + i * job->gathered.stride, job->x.data + job->members[i] * job->x.stride,
            (size_t)job->hidden * 4);
    }
}

static void scatter_members(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const mixture_job *job = context;
    for (int32_t i = begin; i < end; i++) {
        job->engine->kernels.add_scaled(
            job->gathered.data + i * job->gathered.stride, job->shares[i],
            job->y.data + job->members[i] * job->y.stride, job->hidden);
    }
}

static int32_t find_members(const mixture_job *job, int32_t rows, int32_t expert) {
    int32_t count = 0, chosen = job->shape->chosen;
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t c = 0; c < chosen; c++) {
            if (job->experts[r * chosen + c] != expert) continue;
            job->members[count] = r;
            job->shares[count++] = job->weights[r * chosen + c];
        }
    }
    return count;
}

// Cuts `count` floats, rounded up to a cache line, from scratch.
static float *cut(float **scratch, size_t count) {
    float *cut = *scratch;
    *scratch += (count + 15) / 16 * 16;
    return cut;
}

bool mr_add_mixture(
    mr_engine *engine, mr_rows x, const mr_matrix *router, const mr_matrix *const *gate_up,
    const mr_matrix *const *down, const mr_mixture_shape *shape, mr_rows y) {
    size_t rows = (size_t)engine->batch.rows, hidden = (size_t)router->inputs,
           inner = (size_t)down[0]->inputs;
    size_t experts = (size_t)shape->experts, chosen = (size_t)shape->chosen;
    size_t floats = rows * (experts + 2 * chosen + 2 + hidden + inner) + 16 * 7;
    if (!mr_buffer_reserve(&engine->mixture, floats * 4)) return false;
    if (!mr_engine_reserve_inputs(engine, (int32_t)rows, (int32_t)(hidden > inner ? hidden : inner)))
        return false;
    float *scratch = engine->mixture.data;
    mixture_job job = {.engine = engine, .shape = shape, .hidden = router->inputs, .x = x, .y = y};
    job.scores = cut(&scratch, rows * experts);
    job.experts = (int32_t *)cut(&scratch, rows * chosen);
    job.weights = cut(&scratch, rows * chosen);
    job.members = (int32_t *)cut(&scratch, rows);
    job.shares = cut(&scratch, rows);
    job.gathered = (mr_rows){cut(&scratch, rows * hidden), (ptrdiff_t)hidden};
    job.inner = (mr_rows){cut(&scratch, rows * inner), (ptrdiff_t)inner};

    mr_linear(engine, x, (int32_t)rows, router, NULL, false, (mr_rows){job.scores, (ptrdiff_t)experts});
    mr_pool_run(engine->pool, (int32_t)rows, 16, route_rows, &job);
    for (int32_t e = 0; e < shape->experts; e++) {
        int32_t count = find_members(&job, (int32_t)rows, e);
        if (count == 0) continue;
        mr_pool_run(engine->pool, count, 16, gather_members, &job);
        mr_gated_linear(engine, job.gathered, count, gate_up[e], NULL, shape->function, job.inner);
        mr_linear(engine, job.inner, count, down[e], NULL, false, job.gathered);
        mr_pool_run(engine->pool, count, 16, scatter_members, &job);
    }
    return true;
}
