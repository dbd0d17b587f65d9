#include "instance.h"

#include "gemm.cuh"

namespace {
#include "gemm.cu"
}

EMULATE(mr_gemm_16);
EMULATE(mr_gemm_gated_16);
EMULATE(mr_gemm_32);
EMULATE(mr_gemm_gated_32);
EMULATE(mr_gemm_64);
EMULATE(mr_gemm_gated_64);
EMULATE(mr_gemm_128);
EMULATE(mr_gemm_gated_128);
