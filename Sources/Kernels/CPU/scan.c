// Scans of logits rows, by instruction set.
#include "engine.h"
#include <math.h>
#include <pthread.h>

static mr_kernels tables[MR_ISA_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(void) {
    for (int isa = 0; isa < MR_ISA_COUNT; isa++) {
        if (mr_isa_supported((mr_isa)isa)) mr_kernels_select((mr_isa)isa, &tables[isa]);
    }
}

static const mr_kernels *kernels(mr_isa isa) {
    pthread_once(&once, fill);
    return &tables[isa];
}

int64_t mr_argmax(mr_isa isa, const float *values, int64_t count) {
    return kernels(isa)->argmax(values, count);
}
float mr_maximum(mr_isa isa, const float *values, int64_t count) {
    return kernels(isa)->maximum(values, count);
}

double mr_log_sum_exp(mr_isa isa, const float *values, int64_t count) {
    float maximum = mr_maximum(isa, values, count);
    if (isinf(maximum)) {
        // All -inf (or nothing at all), or +inf among them; a NaN decides either way.
        for (int64_t i = 0; i < count; i++) {
            if (isnan(values[i])) return NAN;
        }
        return (double)maximum;
    }
    return (double)maximum + log(kernels(isa)->sum_exp(values, count, maximum, 1));
}

double mr_sum_exp(mr_isa isa, const float *values, int64_t count, float maximum, float scale) {
    return kernels(isa)->sum_exp(values, count, maximum, scale);
}

int64_t mr_count_at_least(mr_isa isa, const float *values, int64_t count, float threshold) {
    return kernels(isa)->count_at_least(values, count, threshold);
}

int64_t mr_indices_at_least(
    mr_isa isa, const float *values, int64_t count, float threshold, int32_t *indices, int64_t room) {
    return kernels(isa)->indices_at_least(values, count, threshold, indices, room);
}
