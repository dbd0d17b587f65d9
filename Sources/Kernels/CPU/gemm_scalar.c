// Matrix tiles in plain C: the reference for every other instruction set, and what runs where there is none.
#include "stored.h"
#include "math_scalar.h"
#include "rounding.h"
#pragma STDC FP_CONTRACT OFF

static void round_inputs(const float *x, int32_t count, void *target) { mr_round_floats(x, count, target); }

static void to_bf16(const float *x, int32_t count, uint16_t *target) {
    for (int32_t i = 0; i < count; i++) target[i] = mr_f32_to_bf16(x[i]);
    if (count % 2 != 0) target[count] = 0;
}

static void
tile_f32(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
    (void)ahead;
    const float *w = panel;
    for (int32_t r = 0; r < rows; r++) {
        const float *x = (const float *)((const char *)a + (size_t)r * a_bytes);
        float sums[MR_PANEL] = {0};
        for (int32_t k = 0; k < inputs; k++) {
            for (int32_t n = 0; n < MR_PANEL; n++) sums[n] += x[k] * w[k * MR_PANEL + n];
        }
        memcpy(out + r * MR_PANEL, sums, sizeof sums);
    }
}

static void
tile_bf16(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
    (void)ahead;
    const uint16_t *w = panel;
    for (int32_t r = 0; r < rows; r++) {
        const float *x = (const float *)((const char *)a + (size_t)r * a_bytes);
        float sums[MR_PANEL] = {0};
        for (int32_t k = 0; k < (inputs + 1) / 2; k++) {
            for (int32_t n = 0; n < MR_PANEL; n++) {
                const uint16_t *pair = w + (k * MR_PANEL + n) * 2;
                sums[n] += x[2 * k] * mr_bf16_to_f32(pair[0]);
                sums[n] += x[2 * k + 1] * mr_bf16_to_f32(pair[1]);
            }
        }
        memcpy(out + r * MR_PANEL, sums, sizeof sums);
    }
}

static void
finish(const float *tile, int32_t rows, int32_t width, const mr_finish *how, float *y, ptrdiff_t stride) {
    for (int32_t r = 0; r < rows; r++, tile += MR_PANEL, y += stride) {
        for (int32_t n = 0; n < width; n++) {
            float value = tile[n];
            if (how->bias != NULL) value += how->bias[n];
            if (how->accumulate) value += y[n];
            if (how->cap > 0) value = how->cap * tanhf(value / how->cap);
            y[n] = value;
        }
    }
}

static void gate(
    const float *gate, const float *up, int32_t rows, int32_t width, const float *gate_bias,
    const float *up_bias, mr_function function, float *y, ptrdiff_t stride) {
    for (int32_t r = 0; r < rows; r++, gate += MR_PANEL, up += MR_PANEL, y += stride) {
        for (int32_t n = 0; n < width; n++) {
            float g = gate_bias == NULL ? gate[n] : gate[n] + gate_bias[n];
            float u = up_bias == NULL ? up[n] : up[n] + up_bias[n];
            y[n] = mr_apply(function, g) * u;
        }
    }
}

static void widen(const mr_block_type *type, const char *panel, int32_t inputs, bool floats, char *target) {
    const float *steps = NULL;
    const char *numbers = NULL;
    for (int32_t k = 0; k < inputs; k++) {
        int32_t i = k % type->group;
        if (i == 0) {
            steps = (const float *)(const void *)panel;
            numbers = panel + mr_stored_header_bytes(type->has_offsets);
            panel = numbers + mr_stored_number_bytes(mr_stored_bits(type), type->group);
        }
        for (int32_t n = 0; n < MR_PANEL; n++) {
            const uint32_t *words = (const uint32_t *)(const void *)numbers;
            int8_t number = type->choice == NULL ? (int8_t)numbers[i * MR_PANEL + n]
                                                 : type->choice[words[i / 8 * MR_PANEL + n] >> (i % 8 * 4) & 15];
            float weight = steps[n] * (float)number;
            if (type->has_offsets) weight += steps[MR_PANEL + n];
            if (floats)
                ((float *)(void *)target)[k * MR_PANEL + n] = weight;
            else
                ((uint16_t *)(void *)target)[(k / 2 * MR_PANEL + n) * 2 + k % 2] = mr_f32_to_bf16(weight);
        }
    }
}

void mr_gemm_scalar(mr_kernels *kernels) {
    kernels->bf16_input_bytes = 4;
    kernels->round_inputs = round_inputs;
    kernels->to_bf16 = to_bf16;
    kernels->products[MR_FLOAT32] = (mr_tile_product){4, 1, MR_BLOCK_BYTES, MR_PIECE, tile_f32};
    kernels->products[MR_BFLOAT16] = (mr_tile_product){4, 1, MR_BLOCK_BYTES, MR_PIECE, tile_bf16};
    kernels->widen = widen;
    kernels->finish = finish;
    kernels->gate = gate;
}
