// How rows and weights that were rounded to bytes lie.
//
// Before they are rounded, inputs and weights are turned by the same Hadamard matrices, which leaves their products as
// they were, but spreads an input that is far larger than its neighbours over a whole block of them: so one scale
// serves a row. Blocks are the powers of two that make up a row, MR_TURN at most, the large ones first.
//
//   row:    float32 scale in a cache line of its own; then bytes, each turned input / scale to nearest, 128 added;
//           up to a whole number of MR_BYTE_STEP, where weights are zero
//   panel:  int8 [inputs / 4, whole steps of MR_BYTE_STEP inputs][MR_PANEL][4]; int32 [MR_PANEL], -128 times the sum of
//           each output's weights, which undoes the 128; float32 [MR_PANEL], their scales
#pragma once
#include "engine.h"

enum {
    MR_TURN = 512,
    MR_BYTE_STEP = 64, // inputs of a step of the widest product: a row of a tile register
    MR_BYTE_HEADER = 64,
};

static inline size_t mr_byte_inputs(int32_t inputs) {
    return ((size_t)inputs + MR_BYTE_STEP - 1) / MR_BYTE_STEP * MR_BYTE_STEP;
}
static inline size_t mr_bytes_row(int32_t inputs) { return MR_BYTE_HEADER + mr_byte_inputs(inputs); }
static inline size_t mr_bytes_panel(int32_t inputs) { return (mr_byte_inputs(inputs) / 4 + 2) * MR_PANEL * 4; }

// Inputs of the block that begins where `left` inputs are left.
static inline int32_t mr_turn_block(int32_t left) {
    int32_t block = MR_TURN;
    while (block > left) block /= 2;
    return block;
}

// What makes a block's Hadamard matrix orthonormal: 1 / sqrt(block).
static inline float mr_turn_factor(int32_t block) {
    float factor = block & 0x155 ? 1 : 0.70710678f;
    for (; block > 3; block /= 4) factor /= 2;
    return factor;
}

// In plain C: rounds x to bytes, and returns their scale, which is NaN where a number is not finite.
float mr_round_row(const float *x, int32_t count, int8_t *bytes);

// Turns x in place, in plain C.
void mr_turn(float *x, int32_t count);
