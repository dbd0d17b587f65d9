// Products of bytes in plain C: the reference for bytes_body.h.
#include "bytes.h"
#include "numbers.h"
#include <math.h>
#pragma STDC FP_CONTRACT OFF

float mr_round_row(const float *x, int32_t count, int8_t *bytes) {
    uint32_t largest = 0;
    for (int32_t i = 0; i < count; i++) {
        uint32_t magnitude = mr_bits(x[i]) & 0x7fffffff;
        if (magnitude > largest) largest = magnitude;
    }
    bool finite = largest < 0x7f800000;
    float inverse = finite ? mr_byte_inverse(mr_from_bits(largest)) : 0;
    for (int32_t i = 0; i < count; i++) bytes[i] = inverse > 0 ? mr_round_to_byte(x[i] * inverse) : 0;
    return finite ? mr_from_bits(largest) / 127 : NAN;
}

void mr_turn(float *x, int32_t count) {
    for (int32_t at = 0, block; at < count; at += block) {
        block = mr_turn_block(count - at);
        for (int32_t distance = 1; distance < block; distance *= 2) {
            for (int32_t i = 0; i < block; i++) {
                if (i & distance) continue;
                float first = x[at + i], second = x[at + i + distance];
                x[at + i] = first + second;
                x[at + i + distance] = first - second;
            }
        }
        for (int32_t i = 0; i < block; i++) x[at + i] *= mr_turn_factor(block);
    }
}

static void turn(const float *x, int32_t count, float *target) {
    memcpy(target, x, (size_t)count * 4);
    mr_turn(target, count);
}

static void quantize(const float *x, int32_t count, void *target) {
    uint8_t *bytes = (uint8_t *)target + MR_BYTE_HEADER;
    *(float *)target = mr_round_row(x, count, (int8_t *)bytes);
    for (int32_t i = 0; i < count; i++) bytes[i] = (uint8_t)(bytes[i] + 128);
    memset(bytes + count, 128, mr_byte_inputs(count) - (size_t)count);
}

static void
tile_bytes(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
    (void)ahead;
    const size_t count = mr_byte_inputs(inputs);
    const int8_t *w = panel;
    const char *tail = (const char *)panel + count * MR_PANEL;
    const int32_t *offsets = (const int32_t *)(const void *)tail;
    const float *scales = (const float *)(const void *)tail + MR_PANEL;
    for (int32_t r = 0; r < rows; r++) {
        const char *row = (const char *)a + (size_t)r * a_bytes;
        const uint8_t *x = (const uint8_t *)row + MR_BYTE_HEADER;
        for (size_t n = 0; n < MR_PANEL; n++) {
            int32_t sum = offsets[n];
            for (size_t k = 0; k < count; k++) sum += x[k] * w[(k / 4 * MR_PANEL + n) * 4 + k % 4];
            out[(size_t)r * MR_PANEL + n] = (float)sum * (*(const float *)(const void *)row * scales[n]);
        }
    }
}

void mr_bytes_scalar(mr_kernels *kernels) {
    kernels->turn = turn;
    kernels->quantize = quantize;
    kernels->products[MR_INT8] = (mr_tile_product){4, 1, MR_BLOCK_BYTES, MR_PIECE, tile_bytes};
}
