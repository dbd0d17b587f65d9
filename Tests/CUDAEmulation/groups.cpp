#include "instance.h"

#include "gemm_quantized.cuh"

namespace {
#include "groups.cu"
}

EMULATE(mr_repack_groups);
EMULATE(mr_widen_groups);

#define MR_WEIGHT_TYPE 100
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 101
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 102
#include "gemm_quantized_instance.h"
