// How rows and weights that were rounded to bytes lie.
//
//   row:    float32 scales, one for each group of MR_GROUP inputs, padded to whole cache lines; then bytes, each
//           input / scale to nearest, 128 added, padded to a multiple of four
//   panel:  for each group: int8 [ceil(inputs of the group / 4)][MR_PANEL][4]; int32 [MR_PANEL], -128 times the sum of
//           each output's weights, which undoes the 128; float32 [MR_PANEL], their scales
#pragma once
#include "engine.h"

enum { MR_GROUP = 64 };

static inline size_t mr_bytes_groups(int32_t inputs) { return ((size_t)inputs + MR_GROUP - 1) / MR_GROUP; }
// Bytes of a row's scales.
static inline size_t mr_bytes_header(int32_t inputs) { return (mr_bytes_groups(inputs) * 4 + 63) / 64 * 64; }
static inline size_t mr_bytes_row(int32_t inputs) {
    return mr_bytes_header(inputs) + ((size_t)inputs + 3) / 4 * 4;
}
static inline size_t mr_bytes_panel(int32_t inputs) {
    return (((size_t)inputs + 3) / 4 + 2 * mr_bytes_groups(inputs)) * MR_PANEL * 4;
}
