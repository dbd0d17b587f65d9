// Activation functions by libm.
#pragma once
#include "engine.h"
#include <math.h>

static inline float mr_apply(mr_function function, float x) {
    switch (function) {
    case MR_SILU: return x / (1 + expf(-x));
    case MR_GELU_TANH: return 0.5f * x * (1 + tanhf(0.797884560802865f * (x + 0.044715f * x * x * x)));
    case MR_GELU: return 0.5f * x * (1 + erff(x * 0.707106781186548f));
    case MR_RELU: return x > 0 ? x : x != x ? x : 0;
    }
    return x;
}
