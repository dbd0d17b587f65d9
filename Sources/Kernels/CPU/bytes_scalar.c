// Products of bytes in plain C: the reference for bytes_body.h.
#include "bytes.h"
#include "numbers.h"
#include <math.h>
#pragma STDC FP_CONTRACT OFF

static float quantize_group(const float *x, int32_t count, uint8_t *bytes) {
    float largest = 0, strange = 0;
    for (int32_t i = 0; i < count; i++) {
        if (fabsf(x[i]) > largest) largest = fabsf(x[i]);
        if (!isfinite(x[i])) strange = NAN;
    }
    float inverse = mr_byte_inverse(largest);
    // A strange row's result is NaN whatever its bytes are.
    for (int32_t i = 0; i < count; i++) {
        bytes[i] = isnan(strange) ? 128 : (uint8_t)((int32_t)rintf(x[i] * inverse) + 128);
    }
    for (int32_t i = count; i < (count + 3) / 4 * 4; i++) bytes[i] = 128;
    return largest / 127 + strange;
}

static void quantize_inputs(const float *x, int32_t count, void *target) {
    float *scales = target;
    uint8_t *bytes = (uint8_t *)target + mr_bytes_header(count);
    for (int32_t at = 0; at < count; at += MR_GROUP) {
        int32_t left = count - at;
        *scales++ = quantize_group(x + at, left < MR_GROUP ? left : MR_GROUP, bytes + at);
    }
}

// One group of one row: adds to out [MR_PANEL].
static void add_group(float row_scale, const uint8_t *x, const int8_t *w, int32_t steps, float *out) {
    const char *tail = (const char *)w + (size_t)steps * MR_PANEL * 4;
    const int32_t *offsets = (const int32_t *)(const void *)tail;
    const float *scales = (const float *)(const void *)tail + MR_PANEL;
    for (int32_t n = 0; n < MR_PANEL; n++) {
        int32_t sum = offsets[n];
        for (int32_t k = 0; k < 4 * steps; k++) sum += x[k] * w[(k / 4 * MR_PANEL + n) * 4 + k % 4];
        out[n] = fmaf((float)sum, row_scale * scales[n], out[n]);
    }
}

static void
tile_bytes(const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, float *out) {
    for (int32_t i = 0; i < rows * MR_PANEL; i++) out[i] = 0;
    for (int32_t r = 0; r < rows; r++) {
        const float *scales = (const float *)(const void *)((const char *)a + (size_t)r * a_bytes);
        const uint8_t *x = (const uint8_t *)scales + mr_bytes_header(inputs);
        const int8_t *w = panel;
        for (int32_t at = 0; at < inputs; at += MR_GROUP) {
            int32_t steps = (inputs - at < MR_GROUP ? inputs - at + 3 : MR_GROUP) / 4;
            add_group(*scales++, x + at, w, steps, out + r * MR_PANEL);
            w += ((size_t)steps + 2) * MR_PANEL * 4;
        }
    }
}

void mr_bytes_scalar(mr_kernels *kernels) {
    kernels->quantize_inputs = quantize_inputs;
    kernels->products[MR_INT8] = (mr_tile_product){4, 1, tile_bytes};
}
