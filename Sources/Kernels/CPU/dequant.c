// Rows of checkpoint tensors to float32.
#include "dequant.h"
#pragma STDC FP_CONTRACT OFF

const int8_t mr_natural_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
const int8_t mr_centered_numbers[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
const int8_t mr_iq4_numbers[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static uint32_t read_u32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

// Low nibbles of 16 bytes are numbers 0...15, high nibbles 16...31.
static void read_nibbles(const uint8_t *source, int8_t *numbers) {
    for (int i = 0; i < 16; i++) {
        numbers[i] = source[i] & 15;
        numbers[i + 16] = (int8_t)(source[i] >> 4);
    }
}

// Bit i of `high` is bit 4 of number i.
static void add_high_bits(uint32_t high, int8_t *numbers) {
    for (int i = 0; i < 32; i++) numbers[i] = (int8_t)(numbers[i] | (high >> i & 1) << 4);
}

// {f16 d; int8 q[32]}: d * q
static void read_q8_0(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = -0.0f;
    memcpy(block->numbers, source + 2, 32);
}

// {f16 d; u8 q[16]}: d * (q - 8)
static void read_q4_0(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = -0.0f;
    read_nibbles(source + 2, block->numbers);
    for (int i = 0; i < 32; i++) block->numbers[i] = (int8_t)(block->numbers[i] - 8);
}

// {f16 d, m; u8 q[16]}: d * q + m
static void read_q4_1(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = mr_read_f16(source + 2);
    read_nibbles(source + 4, block->numbers);
}

// {f16 d; u32 high; u8 q[16]}: d * (q + 16 * high bit - 16)
static void read_q5_0(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = -0.0f;
    read_nibbles(source + 6, block->numbers);
    add_high_bits(read_u32(source + 2), block->numbers);
    for (int i = 0; i < 32; i++) block->numbers[i] = (int8_t)(block->numbers[i] - 16);
}

// {f16 d, m; u32 high; u8 q[16]}: d * (q + 16 * high bit) + m
static void read_q5_1(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = mr_read_f16(source + 2);
    read_nibbles(source + 8, block->numbers);
    add_high_bits(read_u32(source + 4), block->numbers);
}

// {f16 d; u8 q[16]}: d * table[q]
static void read_iq4_nl(const uint8_t *source, mr_block *block) {
    block->steps[0] = mr_read_f16(source);
    block->offsets[0] = -0.0f;
    read_nibbles(source + 2, block->numbers);
    for (int i = 0; i < 32; i++) block->numbers[i] = mr_iq4_numbers[block->numbers[i]];
}

static const mr_block_type q4_0 = {32, 18, 32, false, mr_centered_numbers, read_q4_0};
static const mr_block_type q4_1 = {32, 20, 32, true, mr_natural_numbers, read_q4_1};
static const mr_block_type q5_0 = {32, 22, 32, false, NULL, read_q5_0};
static const mr_block_type q5_1 = {32, 24, 32, true, NULL, read_q5_1};
static const mr_block_type q8_0 = {32, 34, 32, false, NULL, read_q8_0};
static const mr_block_type iq4_nl = {32, 18, 32, false, mr_iq4_numbers, read_iq4_nl};

const mr_block_type *mr_block_type_of(uint32_t type) {
    switch (type) {
    case 2: return &q4_0;
    case 3: return &q4_1;
    case 6: return &q5_0;
    case 7: return &q5_1;
    case 8: return &q8_0;
    case 10: return &mr_q2_k;
    case 11: return &mr_q3_k;
    case 12: return &mr_q4_k;
    case 13: return &mr_q5_k;
    case 14: return &mr_q6_k;
    case 20: return &iq4_nl;
    case 23: return &mr_iq4_xs;
    default: return NULL;
    }
}

static void row_f16(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t i = 0; i < columns; i++) target[i] = mr_read_f16(source + 2 * i);
}

static void row_bf16(const uint8_t *source, float *target, int64_t columns) {
    for (int64_t i = 0; i < columns; i++) {
        uint16_t value;
        memcpy(&value, source + 2 * i, 2);
        target[i] = mr_bf16_to_f32(value);
    }
}

static void row_of_blocks(const mr_block_type *type, const uint8_t *source, float *target, int64_t columns) {
    mr_block block;
    for (int64_t i = 0; i < columns; i += type->weights, source += type->bytes) {
        type->read(source, &block);
        const int8_t *numbers = block.numbers;
        for (int32_t g = 0; g < type->weights / type->group; g++) {
            float step = block.steps[g], offset = block.offsets[g];
            for (int32_t n = 0; n < type->group; n++) *target++ = step * (float)*numbers++ + offset;
        }
    }
}

bool mr_dequantize_row(uint32_t type, const void *source, float *target, int64_t columns) {
    const mr_block_type *blocks = mr_block_type_of(type);
    switch (type) {
    case 0: memcpy(target, source, (size_t)columns * 4); return true;
    case 1: row_f16(source, target, columns); return true;
    case 30: row_bf16(source, target, columns); return true;
    default:
        if (blocks != NULL) row_of_blocks(blocks, source, target, columns);
        return blocks != NULL;
    }
}
