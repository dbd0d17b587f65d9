// Matrix products of bfloat16 weights on tensor cores; gemm.cuh has the arithmetic, and says why a row's result is the
// same bits whichever of these kernels computes it, and in whatever company.
//
// Geometry (CUDALaunchGemm.swift computes it): grid (row tiles, tiles, 1 or splits), block 128 (256 where TOKENS is
// 128), shared stages * (128 + TOKENS) * 128 bytes with 4 stages (3 where TOKENS is 128); a row tile is TOKENS rows, a
// tile 128 outputs, or 64 pairs of a gated product. With splits in the grid, partial is float32
// [row tiles * tiles][splits][128 * TOKENS] and counters int32 [row tiles * tiles], zero before and after; both may be
// null otherwise. x and w are 16-byte aligned; bias may be null; inputs that are no multiple of 8 are slow.
#include "gemm.cuh"

// mr_gemm_TOKENS: y [rows, outputs] = x·wᵀ + bias, or y += that.
// mr_gemm_gated_TOKENS: w is gate over up; y [rows, outputs / 2] = function(x·gateᵀ + bias) * (x·upᵀ + bias).
#define MR_GEMM(TOKENS)                                                                                               \
    extern "C" __global__ void __launch_bounds__(Gemm<TOKENS>::THREADS) mr_gemm_##TOKENS(                             \
        const bf16 *x, const bf16 *w, const float *bias, float *y, float *partial, int *counters, int rows,           \
        int outputs, int inputs, int splits, int accumulate) {                                                        \
        typedef Gemm<TOKENS> G;                                                                                       \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        G::Sums sums;                                                                                                 \
        int first = (int)blockIdx.x * TOKENS, tile = (int)blockIdx.y;                                                 \
        GemmRows those = {x, nullptr, first, rows - first};                                                           \
        GemmStream<G, false> stream;                                                                                  \
        if (!mr_gemm<G>(sums, stream, w, those, shared, partial, counters, outputs, inputs, splits)) return;          \
        mr_gemm_write<G>(sums, tile, outputs, first, rows, bias, y, outputs, accumulate != 0);                        \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(Gemm<TOKENS>::THREADS) mr_gemm_gated_##TOKENS(                       \
        const bf16 *x, const bf16 *w, const float *bias, bf16 *y, float *partial, int *counters, int rows,            \
        int outputs, int inputs, int splits, int function) {                                                          \
        typedef Gemm<TOKENS> G;                                                                                       \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        G::Sums sums;                                                                                                 \
        int first = (int)blockIdx.x * TOKENS, tile = (int)blockIdx.y;                                                 \
        GemmRows those = {x, nullptr, first, rows - first};                                                           \
        GemmStream<G, true> stream;                                                                                   \
        if (!mr_gemm<G>(sums, stream, w, those, shared, partial, counters, outputs, inputs, splits)) return;          \
        mr_gemm_write_gated<G>(sums, tile, outputs, first, rows, bias, y, function);                                  \
    }

MR_GEMM(16)
MR_GEMM(32)
MR_GEMM(64)
MR_GEMM(128)
