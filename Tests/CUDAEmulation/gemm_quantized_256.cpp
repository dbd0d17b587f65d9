#include "instance.h"

#include "gemm_quantized.cuh"

#define MR_WEIGHT_TYPE 10
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 11
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 12
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 13
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 14
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 23
#include "gemm_quantized_instance.h"
