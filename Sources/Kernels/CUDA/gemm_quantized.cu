// Matrix products of weights in GGUF's block formats, which stay as they are in memory. Macro: MR_WEIGHT_TYPE, GGUF's
// number of the type: 2 Q4_0, 3 Q4_1, 6 Q5_0, 7 Q5_1, 8 Q8_0, 10 Q2_K ... 14 Q6_K, 20 IQ4_NL, 23 IQ4_XS. The results are
// the bits of gemm.cu on the weights that mr_dequantize makes of these, given the same `splits`.
//
// Geometry (CUDALaunchGemmQuantized.swift computes it): as gemm.cu with TOKENS 16, 32 or 64, but for shared memory; see
// there for partial and counters. Many rows are better served by mr_dequantize and gemm.cu. w [outputs][rowBytes] is
// 16-byte aligned, and read up to the next multiple of 16 bytes behind its end. Rows of y are `stride` apart.
#include "gemm_quantized.cuh"

#define MR_GEMM_QUANTIZED(TOKENS)                                                                                     \
    extern "C" __global__ void __launch_bounds__(128) mr_gemm_quantized_##TOKENS(                                     \
        const bf16 *x, const void *w, long long rowBytes, const float *bias, float *y, int stride, float *partial,    \
        int *counters, int rows, int outputs, int inputs, int splits, int accumulate) {                               \
        typedef Gemm<TOKENS> G;                                                                                       \
        typedef GemmQuantStream<G, false, MR_WEIGHT_TYPE> Stream;                                                     \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        G::Sums sums;                                                                                                 \
        int first = (int)blockIdx.x * TOKENS, tile = (int)blockIdx.y;                                                 \
        GemmRows those = {x, nullptr, first, rows - first};                                                           \
        Stream stream;                                                                                                \
        Stream::Weights weights = {(const mr_byte *)w, rowBytes};                                                     \
        if (!mr_gemm<G>(sums, stream, weights, those, shared, partial, counters, outputs, inputs, splits)) return;    \
        mr_gemm_write<G>(sums, tile, outputs, first, rows, bias, y, stride, accumulate != 0);                         \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(128) mr_gemm_quantized_gated_##TOKENS(                               \
        const bf16 *x, const void *w, long long rowBytes, const float *bias, bf16 *y, float *partial, int *counters,  \
        int rows, int outputs, int inputs, int splits, int function) {                                                \
        typedef Gemm<TOKENS> G;                                                                                       \
        typedef GemmQuantStream<G, true, MR_WEIGHT_TYPE> Stream;                                                      \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        G::Sums sums;                                                                                                 \
        int first = (int)blockIdx.x * TOKENS, tile = (int)blockIdx.y;                                                 \
        GemmRows those = {x, nullptr, first, rows - first};                                                           \
        Stream stream;                                                                                                \
        Stream::Weights weights = {(const mr_byte *)w, rowBytes};                                                     \
        if (!mr_gemm<G>(sums, stream, weights, those, shared, partial, counters, outputs, inputs, splits)) return;    \
        mr_gemm_write_gated<G>(sums, tile, outputs, first, rows, bias, y, function);                                  \
    }

MR_GEMM_QUANTIZED(16)
MR_GEMM_QUANTIZED(32)
MR_GEMM_QUANTIZED(64)
