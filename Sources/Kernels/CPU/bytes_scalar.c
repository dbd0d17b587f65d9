// Products of bytes in plain C: the reference for bytes_body.h.
#include "engine.h"
#include "numbers.h"
#include <math.h>
#pragma STDC FP_CONTRACT OFF

static void quantize_inputs(const float *x, int32_t count, void *target) {
    float largest = 0, strange = 0;
    for (int32_t i = 0; i < count; i++) {
        if (fabsf(x[i]) > largest) largest = fabsf(x[i]);
        if (!isfinite(x[i])) strange = NAN;
    }
    float inverse = mr_byte_inverse(largest);
    *(float *)target = largest / 127 + strange;
    uint8_t *bytes = (uint8_t *)target + MR_BYTES_HEADER;
    // A strange row's result is NaN whatever its bytes are.
    for (int32_t i = 0; i < count; i++) {
        bytes[i] = isnan(strange) ? 128 : (uint8_t)((int32_t)rintf(x[i] * inverse) + 128);
    }
    for (int32_t i = count; i < (count + 3) / 4 * 4; i++) bytes[i] = 128;
}

static void
tile_bytes(const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, float *out) {
    int32_t steps = (inputs + 3) / 4;
    const int8_t *w = panel;
    const char *tail = (const char *)panel + (size_t)steps * MR_PANEL * 4;
    const int32_t *offsets = (const int32_t *)(const void *)tail;
    const float *scales = (const float *)(const void *)tail + MR_PANEL;
    for (int32_t r = 0; r < rows; r++) {
        const char *row = (const char *)a + (size_t)r * a_bytes;
        const uint8_t *x = (const uint8_t *)row + MR_BYTES_HEADER;
        int32_t sums[MR_PANEL] = {0};
        for (int32_t k = 0; k < 4 * steps; k++) {
            for (int32_t n = 0; n < MR_PANEL; n++) sums[n] += x[k] * w[(k / 4 * MR_PANEL + n) * 4 + k % 4];
        }
        float scale = *(const float *)(const void *)row;
        for (int32_t n = 0; n < MR_PANEL; n++) {
            out[r * MR_PANEL + n] = (float)(sums[n] - offsets[n]) * (scale * scales[n]);
        }
    }
}

void mr_bytes_scalar(mr_kernels *kernels) {
    kernels->bytes_tile_rows = 4;
    kernels->quantize_inputs = quantize_inputs;
    kernels->tile_bytes = tile_bytes;
}
