#include "instance.h"

#include "gemm_quantized.cuh"

namespace {
#include "mixture.cu"
}

EMULATE(mr_mixture_route);
EMULATE(mr_mixture_group);
EMULATE(mr_mixture_gate_up_16);
EMULATE(mr_mixture_gate_up_32);
EMULATE(mr_mixture_gate_up_64);
EMULATE(mr_mixture_down_16);
EMULATE(mr_mixture_down_32);
EMULATE(mr_mixture_down_64);
EMULATE(mr_mixture_add);
