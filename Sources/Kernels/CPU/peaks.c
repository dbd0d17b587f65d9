// How fast this machine can be at most, for benchmarks to stand beside: all threads multiply and add in registers, or
// read memory in order. Plain C here; peaks_body.h by instruction set.
#include "engine.h"

typedef struct {
    const mr_kernels *kernels;
    mr_precision precision;
    int64_t steps;
    double operations; // of a step
    const char *data;
    size_t bytes; // of a piece
} peak_job;

// Threads end together when there are many pieces.
enum { PIECES = 64 };

static double scalar_f32(int64_t steps) {
    float sums[4] = {1, 2, 3, 4}, a = 1e-8f;
    for (int64_t s = 0; s < steps; s++) {
        __asm__ volatile("" : "+m"(a));
        for (int i = 0; i < 4; i++) sums[i] += a * a;
    }
    __asm__ volatile("" : : "m"(sums));
    return 8;
}

static void scalar_read(const char *data, size_t bytes) {
    uint64_t found = 0;
    for (size_t at = 0; at + 8 <= bytes; at += 8) found |= *(const uint64_t *)(const void *)(data + at);
    __asm__ volatile("" : : "r"(found));
}

void mr_peaks_scalar(mr_kernels *kernels) {
    kernels->peaks[MR_FLOAT32] = scalar_f32;
    kernels->peak_read = scalar_read;
}

static void multiply(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const peak_job *job = context;
    for (int32_t i = begin; i < end; i++) {
        job->kernels->peaks[job->precision](job->steps);
    }
}

static void read_pieces(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const peak_job *job = context;
    for (int32_t i = begin; i < end; i++) {
        job->kernels->peak_read(job->data + (size_t)i * job->bytes, job->bytes);
    }
}

double mr_peak_multiply(mr_engine *engine, mr_precision precision, int64_t steps) {
    peak_job job = {.kernels = &engine->kernels, .precision = precision, .steps = steps};
    if (job.kernels->peaks[precision] == NULL) return 0;
    int32_t pieces = PIECES * mr_pool_threads(engine->pool);
    double each = job.kernels->peaks[precision](1);
    mr_pool_run(engine->pool, pieces, 1, multiply, &job);
    return each * (double)steps * pieces;
}

size_t mr_peak_read(mr_engine *engine, const void *data, size_t bytes) {
    int32_t pieces = PIECES * mr_pool_threads(engine->pool);
    size_t piece = bytes / (size_t)pieces / 4096 * 4096;
    peak_job job = {.kernels = &engine->kernels, .data = data, .bytes = piece};
    mr_pool_run(engine->pool, pieces, 1, read_pieces, &job);
    return piece * (size_t)pieces;
}
