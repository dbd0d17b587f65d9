#include "instance.h"

#include "gemm_quantized.cuh"

#define MR_WEIGHT_TYPE 2
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 3
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 6
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 7
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 8
#include "gemm_quantized_instance.h"

#define MR_WEIGHT_TYPE 20
#include "gemm_quantized_instance.h"
