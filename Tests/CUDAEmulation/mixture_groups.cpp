// mixture.cu for experts in groups of 32 with 4 bits.
#include "instance.h"

#define MR_WEIGHT_TYPE 102
#include "gemm_quantized.cuh"

#define mr_mixture_route mr_mixture_route_102
#define mr_mixture_group mr_mixture_group_102
#define mr_mixture_gate_up_16 mr_mixture_gate_up_16_102
#define mr_mixture_gate_up_32 mr_mixture_gate_up_32_102
#define mr_mixture_gate_up_64 mr_mixture_gate_up_64_102
#define mr_mixture_down_16 mr_mixture_down_16_102
#define mr_mixture_down_32 mr_mixture_down_32_102
#define mr_mixture_down_64 mr_mixture_down_64_102
#define mr_mixture_add mr_mixture_add_102

namespace {
#include "mixture.cu"
}

EMULATE_INSTANCE(mr_mixture_route);
EMULATE_INSTANCE(mr_mixture_group);
EMULATE_INSTANCE(mr_mixture_add);
EMULATE_INSTANCE(mr_mixture_gate_up_16);
EMULATE_INSTANCE(mr_mixture_gate_up_32);
EMULATE_INSTANCE(mr_mixture_gate_up_64);
EMULATE_INSTANCE(mr_mixture_down_16);
EMULATE_INSTANCE(mr_mixture_down_32);
EMULATE_INSTANCE(mr_mixture_down_64);
