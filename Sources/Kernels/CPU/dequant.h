// The types with 256 elements a block (dequant_k.c). `source` holds columns / 256 blocks.
#pragma once
#include "engine.h"

void mr_row_q2_k(const uint8_t *source, float *target, int64_t columns);
void mr_row_q3_k(const uint8_t *source, float *target, int64_t columns);
void mr_row_q4_k(const uint8_t *source, float *target, int64_t columns);
void mr_row_q5_k(const uint8_t *source, float *target, int64_t columns);
void mr_row_q6_k(const uint8_t *source, float *target, int64_t columns);
void mr_row_iq4_xs(const uint8_t *source, float *target, int64_t columns);

// The 16 values of IQ4_NL and IQ4_XS.
extern const int8_t mr_iq4_values[16];
