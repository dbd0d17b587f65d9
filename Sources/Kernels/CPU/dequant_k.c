// ggml's types with 256 elements a block, "super-blocks" whose sub-blocks have small integer scales of their
// own. Layouts: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (tensor types); offsets are in
// bytes.
#include "dequant.h"
#include "numbers.h"

static float read_f16(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, 2);
    return mr_f16_to_f32(half);
}

// {u8 scales[16] (scale | min << 4); u8 q[64], 2 bits each; f16 d @80, dmin @82}, 16 elements a sub-block:
// d * scale * q - dmin * min. Each 128 elements take 32 bytes: shift 0 is elements 0...31, shift 2 32...63,
// ...
void mr_row_q2_k(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 84, target += 256) {
        float d = read_f16(source + 80), dmin = read_f16(source + 82);
        for (int i = 0; i < 256; i++) {
            int quant = source[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            int scale = source[i / 16];
            target[i] = d * (float)(scale & 15) * (float)quant - dmin * (float)(scale >> 4);
        }
    }
}

// {u8 high[32], one bit each; u8 q[64], 2 bits each; u8 scales[12], 6 bits each; f16 d @108}, 16 elements a
// sub-block: d * (scale - 32) * (q + 4 * high bit - 4). High bits: bit i/32 of byte i%32.
void mr_row_q3_k(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 110, target += 256) {
        float d = read_f16(source + 108);
        const uint8_t *packed = source + 96;
        float scales[16];
        for (int j = 0; j < 16; j++) {
            int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
            int high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
            scales[j] = d * (float)((low | high << 4) - 32);
        }
        for (int i = 0; i < 256; i++) {
            int quant = source[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
            int high = source[i % 32] >> (i / 32) & 1;
            target[i] = scales[i / 16] * (float)(quant - (high ? 0 : 4));
        }
    }
}

// Scale and minimum of sub-block j (of 8) from 12 bytes, 6 bits each, as Q4_K and Q5_K store them.
static void scale_and_minimum(const uint8_t *packed, int j, int *scale, int *minimum) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *minimum = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
        *minimum = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
}

// {f16 d, dmin; u8 scales[12]; u8 q[128] @16}, 32 elements a sub-block: d * scale * q - dmin * min. Each 64
// elements take 32 bytes: low nibbles first.
void mr_row_q4_k(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 144, target += 256) {
        float d = read_f16(source), dmin = read_f16(source + 2);
        for (int j = 0; j < 8; j++) {
            int scale, minimum;
            scale_and_minimum(source + 4, j, &scale, &minimum);
            float step = d * (float)scale, offset = dmin * (float)minimum;
            const uint8_t *quants = source + 16 + j / 2 * 32;
            for (int i = 0; i < 32; i++) {
                target[32 * j + i] = step * (float)(quants[i] >> (j % 2 * 4) & 15) - offset;
            }
        }
    }
}

// {f16 d, dmin; u8 scales[12]; u8 high[32] @16; u8 q[128] @48}: as Q4_K, with bit j of high[i] as the fifth
// bit.
void mr_row_q5_k(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 176, target += 256) {
        float d = read_f16(source), dmin = read_f16(source + 2);
        const uint8_t *high = source + 16;
        for (int j = 0; j < 8; j++) {
            int scale, minimum;
            scale_and_minimum(source + 4, j, &scale, &minimum);
            float step = d * (float)scale, offset = dmin * (float)minimum;
            const uint8_t *quants = source + 48 + j / 2 * 32;
            for (int i = 0; i < 32; i++) {
                int quant = (quants[i] >> (j % 2 * 4) & 15) | (high[i] >> j & 1) << 4;
                target[32 * j + i] = step * (float)quant - offset;
            }
        }
    }
}

// {u8 low[128], 4 bits each; u8 high[64] @128, 2 bits each; int8 scales[16] @192; f16 d @208}, 16 elements a
// sub-block: d * scale * (q - 32). Each 128 elements take 64 low and 32 high bytes; element 32 * n + l of
// them: low nibble (n >= 2: high nibble) of low[l + n % 2 * 32], bits 2n of high[l].
void mr_row_q6_k(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 210, target += 256) {
        float d = read_f16(source + 208);
        for (int i = 0; i < 256; i++) {
            int half = i / 128, n = i % 128 / 32, l = i % 32;
            int low = source[half * 64 + n % 2 * 32 + l] >> (n / 2 * 4) & 15;
            int high = source[128 + half * 32 + l] >> (2 * n) & 3;
            target[i] = d * (float)(int8_t)source[192 + i / 16] * (float)((low | high << 4) - 32);
        }
    }
}

// {f16 d; u16 scales_h; u8 scales_l[4]; u8 q[128] @8}, 32 elements a sub-block: d * (scale - 32) * table[q],
// low nibbles are elements 0...15 of the sub-block.
void mr_row_iq4_xs(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t b = 0; b < columns / 256; b++, source += 136, target += 256) {
        float d = read_f16(source);
        unsigned high = source[2] | (unsigned)source[3] << 8;
        for (int j = 0; j < 8; j++) {
            int low = source[4 + j / 2] >> (j % 2 * 4) & 15;
            float step = d * (float)((low | (int)(high >> (2 * j) & 3) << 4) - 32);
            const uint8_t *quants = source + 8 + 16 * j;
            for (int i = 0; i < 16; i++) {
                target[32 * j + i] = step * (float)mr_iq4_values[quants[i] & 15];
                target[32 * j + i + 16] = step * (float)mr_iq4_values[quants[i] >> 4];
            }
        }
    }
}
