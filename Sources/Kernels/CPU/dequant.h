// Checkpoint tensors that hold small whole numbers in blocks: every weight is step * number + offset, the product
// rounded before the sum. Layouts: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (tensor types) and ggml's
// block structures; 32 weights a block in dequant.c, 256 in dequant_k.c.
#pragma once
#include "engine.h"
#include "numbers.h"

static inline float mr_read_f16(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, 2);
    return mr_f16_to_f32(half);
}

// A block as it was read.
typedef struct {
    int8_t numbers[256];
    float steps[16]; // of each group
    float offsets[16]; // likewise; -0 where the type has none, which changes no sum
} mr_block;

typedef struct mr_block_type {
    int32_t weights; // of a block
    int32_t bytes; // of a block
    int32_t group; // weights that share a step: 16 or 32
    bool has_offsets;
    const int8_t *choice; // the 16 numbers that occur, in ascending order; NULL: any byte
    void (*read)(const uint8_t *source, mr_block *block);
} mr_block_type;

// By GGUF's type id; NULL: no such type.
const mr_block_type *mr_block_type_of(uint32_t type);

extern const mr_block_type mr_q2_k, mr_q3_k, mr_q4_k, mr_q5_k, mr_q6_k, mr_iq4_xs;

// Numbers of 4 bits: as they are, 8 less, and those of IQ4_NL and IQ4_XS.
extern const int8_t mr_natural_numbers[16], mr_centered_numbers[16], mr_iq4_numbers[16];
