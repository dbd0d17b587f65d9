// Rows of matrix inputs rounded to bfloat16.
#pragma once
#include "numbers.h"

// target [count], with a zero up to an even count: rounded values kept as float32.
static inline void mr_round_floats(const float *x, int32_t count, float *target) {
    for (int32_t i = 0; i < count; i++) target[i] = mr_bf16_to_f32(mr_f32_to_bf16(x[i]));
    if (count % 2 != 0) target[count] = 0;
}
