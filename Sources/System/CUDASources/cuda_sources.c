// #embed: https://www.open-std.org/jtc1/sc22/wg14/www/docs/n3017.htm; clang takes it in older languages, too.
#include "cuda_sources.h"

#include <string.h>

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char argmax_cu[] = {
#embed "../../Kernels/CUDA/argmax.cu"
};
static const unsigned char attention_cu[] = {
#embed "../../Kernels/CUDA/attention.cu"
};
static const unsigned char attention_cuh[] = {
#embed "../../Kernels/CUDA/attention.cuh"
};
static const unsigned char attention_any_cu[] = {
#embed "../../Kernels/CUDA/attention_any.cu"
};
static const unsigned char elementwise_cu[] = {
#embed "../../Kernels/CUDA/elementwise.cu"
};
static const unsigned char fp8_cuh[] = {
#embed "../../Kernels/CUDA/fp8.cuh"
};
static const unsigned char gemm_cu[] = {
#embed "../../Kernels/CUDA/gemm.cu"
};
static const unsigned char gemm_cuh[] = {
#embed "../../Kernels/CUDA/gemm.cuh"
};
static const unsigned char gemm_quantized_cu[] = {
#embed "../../Kernels/CUDA/gemm_quantized.cu"
};
static const unsigned char gemm_quantized_cuh[] = {
#embed "../../Kernels/CUDA/gemm_quantized.cuh"
};
static const unsigned char groups_cu[] = {
#embed "../../Kernels/CUDA/groups.cu"
};
static const unsigned char mixture_cu[] = {
#embed "../../Kernels/CUDA/mixture.cu"
};
static const unsigned char mr_cuh[] = {
#embed "../../Kernels/CUDA/mr.cuh"
};
static const unsigned char sampling_cu[] = {
#embed "../../Kernels/CUDA/sampling.cu"
};
static const unsigned char sampling_cuh[] = {
#embed "../../Kernels/CUDA/sampling.cuh"
};
static const unsigned char gemm_float_cu[] = {
#embed "../../Kernels/CUDA/gemm_float.cu"
};
static const unsigned char tables_cu[] = {
#embed "../../Kernels/CUDA/tables.cu"
};

static const mr_cuda_source sources[] = {
    {"argmax.cu", argmax_cu, sizeof(argmax_cu)},
    {"attention.cu", attention_cu, sizeof(attention_cu)},
    {"attention.cuh", attention_cuh, sizeof(attention_cuh)},
    {"attention_any.cu", attention_any_cu, sizeof(attention_any_cu)},
    {"elementwise.cu", elementwise_cu, sizeof(elementwise_cu)},
    {"fp8.cuh", fp8_cuh, sizeof(fp8_cuh)},
    {"gemm.cu", gemm_cu, sizeof(gemm_cu)},
    {"gemm_float.cu", gemm_float_cu, sizeof(gemm_float_cu)},
    {"gemm.cuh", gemm_cuh, sizeof(gemm_cuh)},
    {"gemm_quantized.cu", gemm_quantized_cu, sizeof(gemm_quantized_cu)},
    {"gemm_quantized.cuh", gemm_quantized_cuh, sizeof(gemm_quantized_cuh)},
    {"groups.cu", groups_cu, sizeof(groups_cu)},
    {"mixture.cu", mixture_cu, sizeof(mixture_cu)},
    {"mr.cuh", mr_cuh, sizeof(mr_cuh)},
    {"sampling.cu", sampling_cu, sizeof(sampling_cu)},
    {"sampling.cuh", sampling_cuh, sizeof(sampling_cuh)},
    {"tables.cu", tables_cu, sizeof(tables_cu)},
};

const mr_cuda_source *mr_cuda_source_named(const char *name) {
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (strcmp(sources[i].name, name) == 0) return &sources[i];
    }
    return NULL;
}
