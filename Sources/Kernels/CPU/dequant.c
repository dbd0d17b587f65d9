// Rows of checkpoint tensors to float32. Formats: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
// and the block layouts of ggml's tensor types; 32 elements a block here, 256 in dequant_k.c.
#include "dequant.h"
#include "numbers.h"

static float read_f16(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, 2);
    return mr_f16_to_f32(half);
}

static uint32_t read_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

static void row_f32(const uint8_t *source, float *target, int64_t columns) {
    memcpy(target, source, (size_t)columns * 4);
}

static void row_f16(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t i = 0; i < columns; i++) target[i] = read_f16(source + 2 * i);
}

static void row_bf16(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t i = 0; i < columns; i++) {
        uint16_t value;
        memcpy(&value, source + 2 * i, 2);
        target[i] = mr_bf16_to_f32(value);
    }
}

// {f16 d; int8 q[32]}: d * q
static void row_q8_0(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 34, target += 32) {
        float d = read_f16(source);
        for (int i = 0; i < 32; i++) target[i] = d * (float)(int8_t)source[2 + i];
    }
}

// {f16 d; u8 q[16]}: d * (q - 8); low nibbles are elements 0...15, high nibbles 16...31, here and below
static void row_q4_0(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 18, target += 32) {
        float d = read_f16(source);
        for (int i = 0; i < 16; i++) {
            target[i] = d * (float)((source[2 + i] & 15) - 8);
            target[i + 16] = d * (float)((source[2 + i] >> 4) - 8);
        }
    }
}

// {f16 d, m; u8 q[16]}: d * q + m
static void row_q4_1(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 20, target += 32) {
        float d = read_f16(source), m = read_f16(source + 2);
        for (int i = 0; i < 16; i++) {
            target[i] = d * (float)(source[4 + i] & 15) + m;
            target[i + 16] = d * (float)(source[4 + i] >> 4) + m;
        }
    }
}

// {f16 d; u32 high; u8 q[16]}: d * (q + 16 * high bit - 16)
static void row_q5_0(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 22, target += 32) {
        float d = read_f16(source);
        uint32_t high = read_u32(source + 2);
        for (int i = 0; i < 16; i++) {
            int low = source[6 + i] & 15, up = source[6 + i] >> 4;
            target[i] = d * (float)((low | (int)(high >> i & 1) << 4) - 16);
            target[i + 16] = d * (float)((up | (int)(high >> (i + 16) & 1) << 4) - 16);
        }
    }
}

// {f16 d, m; u32 high; u8 q[16]}: d * (q + 16 * high bit) + m
static void row_q5_1(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 24, target += 32) {
        float d = read_f16(source), m = read_f16(source + 2);
        uint32_t high = read_u32(source + 4);
        for (int i = 0; i < 16; i++) {
            int low = source[8 + i] & 15, up = source[8 + i] >> 4;
            target[i] = d * (float)(low | (int)(high >> i & 1) << 4) + m;
            target[i + 16] = d * (float)(up | (int)(high >> (i + 16) & 1) << 4) + m;
        }
    }
}

const int8_t mr_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// {f16 d; u8 q[16]}: d * table[q]
static void row_iq4_nl(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 32; b++, source += 18, target += 32) {
        float d = read_f16(source);
        for (int i = 0; i < 16; i++) {
            target[i] = d * (float)mr_iq4_values[source[2 + i] & 15];
            target[i + 16] = d * (float)mr_iq4_values[source[2 + i] >> 4];
        }
    }
}

bool mr_dequantize_row(uint32_t type, const void *source, float *target, int64_t columns) {
    switch (type) {
    case 0: row_f32(source, target, columns); return true;
    case 1: row_f16(source, target, columns); return true;
    case 2: row_q4_0(source, target, columns); return true;
    case 3: row_q4_1(source, target, columns); return true;
    case 6: row_q5_0(source, target, columns); return true;
    case 7: row_q5_1(source, target, columns); return true;
    case 8: row_q8_0(source, target, columns); return true;
    case 10: mr_row_q2_k(source, target, columns); return true;
    case 11: mr_row_q3_k(source, target, columns); return true;
    case 12: mr_row_q4_k(source, target, columns); return true;
    case 13: mr_row_q5_k(source, target, columns); return true;
    case 14: mr_row_q6_k(source, target, columns); return true;
    case 20: row_iq4_nl(source, target, columns); return true;
    case 23: mr_row_iq4_xs(source, target, columns); return true;
    case 30: row_bf16(source, target, columns); return true;
    default: return false;
    }
}
