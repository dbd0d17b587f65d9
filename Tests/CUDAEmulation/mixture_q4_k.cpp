// mixture.cu for experts in Q4_K.
#include "instance.h"

#define MR_WEIGHT_TYPE 12
#include "gemm_quantized.cuh"
#include "mixture_instance.h"
