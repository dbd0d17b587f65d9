// mixture.cu for experts in groups of 32 with 4 bits.
#include "instance.h"

#define MR_WEIGHT_TYPE 102
#include "gemm_quantized.cuh"
#include "mixture_instance.h"
