#include "instance.h"

#include "gemm_quantized.cuh"

namespace {
#include "groups.cu"
}

EMULATE(mr_dequantize_groups);
EMULATE(mr_repack_groups);
EMULATE(mr_widen_groups);
EMULATE(mr_reorder_inputs);

#define MR_WEIGHT_TYPE 100
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 101
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 102
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 103
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 104
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 105
#include "gemm_quantized_instance.h"
