// Scans of logits rows in plain C.
#include "engine.h"
#include <math.h>

static int64_t argmax(const float *values, int64_t count) {
    int64_t best = -1;
    for (int64_t i = 0; i < count; i++) {
        if (values[i] == values[i] && (best < 0 || values[i] > values[best])) best = i;
    }
    return best;
}

static float maximum(const float *values, int64_t count) {
    float best = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (values[i] > best) best = values[i];
    }
    return best;
}

static double sum_exp(const float *values, int64_t count, float maximum, float scale) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += exp(((double)values[i] - (double)maximum) * (double)scale);
    return sum;
}

static int64_t count_at_least(const float *values, int64_t count, float threshold) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) found += values[i] >= threshold;
    return found;
}

static int64_t
indices_at_least(const float *values, int64_t count, float threshold, int32_t *indices, int64_t room) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!(values[i] >= threshold)) continue;
        if (found < room) indices[found] = (int32_t)i;
        found++;
    }
    return found;
}

void mr_scan_scalar(mr_kernels *kernels) {
    kernels->argmax = argmax;
    kernels->maximum = maximum;
    kernels->sum_exp = sum_exp;
    kernels->count_at_least = count_at_least;
    kernels->indices_at_least = indices_at_least;
}
