// ggml's types with 256 weights a block, "super-blocks" whose groups have small integer steps of their own. Offsets are
// in bytes.
#include "dequant.h"

// Two bits of number i from 64 bytes: each 128 numbers take 32 bytes: shift 0 is numbers 0...31, shift 2 32...63, ...
static int two_bits(const uint8_t *source, int i) {
    return source[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

// {u8 scales[16] (scale | min << 4); u8 q[64], 2 bits each; f16 d @80, dmin @82}, 16 weights a group:
// d * scale * q - dmin * min
static void read_q2_k(const uint8_t *source, mr_block *block) {
    float d = mr_read_f16(source + 80), dmin = mr_read_f16(source + 82);
    for (int j = 0; j < 16; j++) {
        block->steps[j] = d * (float)(source[j] & 15);
        block->offsets[j] = -(dmin * (float)(source[j] >> 4));
    }
    for (int i = 0; i < 256; i++) block->numbers[i] = (int8_t)two_bits(source + 16, i);
}

// {u8 high[32], one bit each; u8 q[64], 2 bits each; u8 scales[12], 6 bits each; f16 d @108}, 16 weights a
// group: d * (scale - 32) * (q + 4 * high bit - 4). High bits: bit i/32 of byte i%32.
static void read_q3_k(const uint8_t *source, mr_block *block) {
    float d = mr_read_f16(source + 108);
    const uint8_t *packed = source + 96;
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
        int high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
        block->steps[j] = d * (float)((low | high << 4) - 32);
        block->offsets[j] = -0.0f;
    }
    for (int i = 0; i < 256; i++) {
        int high = source[i % 32] >> (i / 32) & 1;
        block->numbers[i] = (int8_t)(two_bits(source + 32, i) - (high ? 0 : 4));
    }
}

// Steps and offsets of 8 groups from 12 bytes, 6 bits for each scale and minimum, as Q4_K and Q5_K store them:
// d * scale * q - dmin * min
static void read_scales_and_minimums(const uint8_t *packed, float d, float dmin, mr_block *block) {
    for (int j = 0; j < 8; j++) {
        int scale = packed[j] & 63, minimum = packed[j + 4] & 63;
        if (j >= 4) {
            scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
            minimum = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
        }
        block->steps[j] = d * (float)scale;
        block->offsets[j] = -(dmin * (float)minimum);
    }
}

// {f16 d, dmin; u8 scales[12]; u8 q[128] @16}, 32 weights a group. Each 64 take 32 bytes: low nibbles first.
static void read_q4_k(const uint8_t *source, mr_block *block) {
    read_scales_and_minimums(source + 4, mr_read_f16(source), mr_read_f16(source + 2), block);
    for (int i = 0; i < 256; i++) {
        block->numbers[i] = source[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
    }
}

// {f16 d, dmin; u8 scales[12]; u8 high[32] @16; u8 q[128] @48}: as Q4_K, with bit i/32 of high[i%32] as the fifth bit.
static void read_q5_k(const uint8_t *source, mr_block *block) {
    read_scales_and_minimums(source + 4, mr_read_f16(source), mr_read_f16(source + 2), block);
    for (int i = 0; i < 256; i++) {
        int low = source[48 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
        block->numbers[i] = (int8_t)(low | (source[16 + i % 32] >> (i / 32) & 1) << 4);
    }
}

// {u8 low[128], 4 bits each; u8 high[64] @128, 2 bits each; int8 scales[16] @192; f16 d @208}, 16 weights a
// group: d * scale * (q - 32). Each 128 take 64 low and 32 high bytes; number 32 * n + l of them: low nibble
// (n >= 2: high nibble) of low[l + n % 2 * 32], bits 2n of high[l].
static void read_q6_k(const uint8_t *source, mr_block *block) {
    float d = mr_read_f16(source + 208);
    for (int j = 0; j < 16; j++) {
        block->steps[j] = d * (float)(int8_t)source[192 + j];
        block->offsets[j] = -0.0f;
    }
    for (int i = 0; i < 256; i++) {
        int half = i / 128, n = i % 128 / 32, l = i % 32;
        int low = source[half * 64 + n % 2 * 32 + l] >> (n / 2 * 4) & 15;
        int high = source[128 + half * 32 + l] >> (2 * n) & 3;
        block->numbers[i] = (int8_t)((low | high << 4) - 32);
    }
}

// {f16 d; u16 scales_h; u8 scales_l[4]; u8 q[128] @8}, 32 weights a group: d * (scale - 32) * table[q],
// low nibbles are weights 0...15 of the group.
static void read_iq4_xs(const uint8_t *source, mr_block *block) {
    float d = mr_read_f16(source);
    unsigned high = source[2] | (unsigned)source[3] << 8;
    for (int j = 0; j < 8; j++) {
        int low = source[4 + j / 2] >> (j % 2 * 4) & 15;
        block->steps[j] = d * (float)((low | (int)(high >> (2 * j) & 3) << 4) - 32);
        block->offsets[j] = -0.0f;
    }
    for (int i = 0; i < 256; i++) {
        block->numbers[i] = mr_iq4_numbers[source[8 + i / 32 * 16 + i % 16] >> (i / 16 % 2 * 4) & 15];
    }
}

const mr_block_type mr_q2_k = {256, 84, 16, true, mr_natural_numbers, read_q2_k};
const mr_block_type mr_q3_k = {256, 110, 16, false, mr_centered_numbers, read_q3_k};
const mr_block_type mr_q4_k = {256, 144, 32, true, mr_natural_numbers, read_q4_k};
const mr_block_type mr_q5_k = {256, 176, 32, true, NULL, read_q5_k};
const mr_block_type mr_q6_k = {256, 210, 16, false, NULL, read_q6_k};
const mr_block_type mr_iq4_xs = {256, 136, 32, false, mr_iq4_numbers, read_iq4_xs};
