// One instance of gemm_quantized.cu, of the type MR_WEIGHT_TYPE; included several times.
#define mr_gemm_quantized_16 INSTANCE1(mr_gemm_quantized_16, MR_WEIGHT_TYPE)
#define mr_gemm_quantized_32 INSTANCE1(mr_gemm_quantized_32, MR_WEIGHT_TYPE)
#define mr_gemm_quantized_64 INSTANCE1(mr_gemm_quantized_64, MR_WEIGHT_TYPE)
#define mr_gemm_quantized_gated_16 INSTANCE1(mr_gemm_quantized_gated_16, MR_WEIGHT_TYPE)
#define mr_gemm_quantized_gated_32 INSTANCE1(mr_gemm_quantized_gated_32, MR_WEIGHT_TYPE)
#define mr_gemm_quantized_gated_64 INSTANCE1(mr_gemm_quantized_gated_64, MR_WEIGHT_TYPE)

namespace {
#include "gemm_quantized.cu"
}

EMULATE_INSTANCE(mr_gemm_quantized_16);
EMULATE_INSTANCE(mr_gemm_quantized_32);
EMULATE_INSTANCE(mr_gemm_quantized_64);
EMULATE_INSTANCE(mr_gemm_quantized_gated_16);
EMULATE_INSTANCE(mr_gemm_quantized_gated_32);
EMULATE_INSTANCE(mr_gemm_quantized_gated_64);

#undef mr_gemm_quantized_16
#undef mr_gemm_quantized_32
#undef mr_gemm_quantized_64
#undef mr_gemm_quantized_gated_16
#undef mr_gemm_quantized_gated_32
#undef mr_gemm_quantized_gated_64
#undef MR_WEIGHT_TYPE
