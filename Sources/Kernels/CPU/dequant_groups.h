// GPTQ's and AWQ's groups (dequant_groups.c), a column of weights at a time.
#pragma once
#include "engine.h"

// Scales and zero points of the group that the last column was in.
typedef struct {
    int32_t group; // -1: none yet
    float scales[MR_PANEL];
    int32_t zeros[MR_PANEL];
} mr_group_walk;

// column[count] = weights of outputs first..<first + count (at most MR_PANEL) for one input.
void mr_group_column(
    const mr_groups *groups, mr_group_walk *walk, int32_t input, int32_t first, int32_t count, float *column);
