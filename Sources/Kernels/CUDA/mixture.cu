// Mixture of experts: chooses each row's experts, groups rows by expert on the device, runs each expert over its rows,
// and adds up each row's experts in ascending order. gemm.cuh has the products' arithmetic: a row's result is the same
// bits whatever rows it shares an expert with. Macro: MR_WEIGHT_TYPE, GGUF's number of the experts' weight type (as in
// gemm_quantized.cu); 30, bfloat16, where it is not given. Gate-up and down may be of different types: two
// compilations.
//
// In order, each a launch (CUDALaunchMixture.swift computes the geometry):
//   mr_mixture_route             grid (rows), block 32
//   mr_mixture_group             grid 1, block 1024, shared experts * 12 + 4 bytes
//   mr_mixture_gate_up_TOKENS    grid (tiles, ceil(inner / 64)), block 128, shared as of gemm.cu or gemm_quantized.cu
//   mr_mixture_down_TOKENS       grid (tiles, ceil(hidden / 128)), the same
//   mr_mixture_add               grid (rows, ceil(hidden / 1024)), block 256
// The grid covers the most tiles there can be: rows * chosen / TOKENS + min(experts, rows * chosen).
#ifndef MR_WEIGHT_TYPE
#define MR_WEIGHT_TYPE 30
#endif
#include "gemm_quantized.cuh"

// Softmax over a row's scores [rows, experts] (at most 1024); the best `chosen`, of equals the first, in ascending
// order of expert to choices [rows, chosen] and weights [rows, chosen]: as they are, or of sum 1 where `renormalise`.
extern "C" __global__ void __launch_bounds__(32)
    mr_mixture_route(const float *scores, int *choices, float *weights, int experts, int chosen, int renormalise) {
    const int perLane = 32;
    const float *row = scores + (long long)blockIdx.x * experts;
    int *choice = choices + (long long)blockIdx.x * chosen;
    float *weight = weights + (long long)blockIdx.x * chosen;
    int lane = (int)threadIdx.x;
    float share[perLane], most = -__int_as_float(0x7f800000), sum = 0, kept = 0;
#pragma unroll
    for (int i = 0; i < perLane; i++) {
        share[i] = lane + 32 * i < experts ? row[lane + 32 * i] : -__int_as_float(0x7f800000);
        most = fmaxf(most, share[i]);
    }
    most = warp_max(most);
#pragma unroll
    for (int i = 0; i < perLane; i++) {
        share[i] = lane + 32 * i < experts ? expf(__fsub_rn(share[i], most)) : -1;
        if (lane + 32 * i < experts) sum = __fadd_rn(sum, share[i]);
    }
    sum = warp_sum(sum);
    unsigned taken = 0; // bit i: expert lane + 32 i
    for (int c = 0; c < chosen; c++) {
        float best = -2;
        int expert = experts;
#pragma unroll
        for (int i = 0; i < perLane; i++) {
            if (lane + 32 * i < experts && !(taken >> i & 1) && share[i] > best) {
                best = share[i];
                expert = lane + 32 * i;
            }
        }
        for (int lanes = 16; lanes > 0; lanes >>= 1) {
            float other = __shfl_xor_sync(MR_FULL_WARP, best, lanes);
            int its = __shfl_xor_sync(MR_FULL_WARP, expert, lanes);
            if (other > best || (other == best && its < expert)) {
                best = other;
                expert = its;
            }
        }
        // Scores that are not numbers are chosen by nobody; any expert will do.
        if (expert == experts) expert = c;
        if (expert % 32 == lane) taken |= 1u << (expert / 32);
        float value = best / sum;
        kept = __fadd_rn(kept, value);
        // Insertion among those chosen before, by expert.
        if (lane == 0) {
            int at = c;
            for (; at > 0 && choice[at - 1] > expert; at--) {
                choice[at] = choice[at - 1];
                weight[at] = weight[at - 1];
            }
            choice[at] = expert;
            weight[at] = value;
        }
    }
    if (lane == 0 && renormalise) {
        for (int c = 0; c < chosen; c++) weight[c] = weight[c] / kept;
    }
}

// From choices [rows * chosen]: members [rows * chosen], the rows of expert 0, of expert 1, ...; slots [rows * chosen],
// where among these each choice went; tiles [tileLimit][4], of up to `tokens` neighbours that one expert runs: expert
// (-1: none), first, count, 0.
extern "C" __global__ void __launch_bounds__(1024)
    mr_mixture_group(const int *choices, int *members, int *slots, int *tiles, int count, int chosen, int experts,
                     int tokens, int tileLimit) {
    MR_DYNAMIC_SHARED(int, shared);
    int *counts = shared, *next = shared + experts, *firstTile = next + experts, *tileCount = firstTile + experts;
    int thread = (int)threadIdx.x, threads = (int)blockDim.x;
    for (int e = thread; e < experts; e += threads) counts[e] = 0;
    __syncthreads();
    for (int i = thread; i < count; i += threads) atomicAdd(counts + choices[i], 1);
    __syncthreads();
    if (thread == 0) {
        int first = 0, tile = 0;
        for (int e = 0; e < experts; e++) {
            next[e] = first;
            firstTile[e] = tile;
            first += counts[e];
            tile += (counts[e] + tokens - 1) / tokens;
        }
        *tileCount = tile;
    }
    __syncthreads();
    for (int e = thread; e < experts; e += threads) {
        for (int at = 0; at < counts[e]; at += tokens) {
            int *tile = tiles + 4 * (firstTile[e] + at / tokens);
            tile[0] = e;
            tile[1] = next[e] + at;
            tile[2] = counts[e] - at < tokens ? counts[e] - at : tokens;
            tile[3] = 0;
        }
    }
    for (int i = *tileCount + thread; i < tileLimit; i += threads) tiles[4 * i] = -1;
    __syncthreads();
    // Neighbours in any order: rows do not influence each other.
    for (int i = thread; i < count; i += threads) {
        int slot = atomicAdd(next + choices[i], 1);
        members[slot] = i / chosen;
        slots[i] = slot;
    }
}

#if MR_WEIGHT_TYPE == 30
template <class G, bool GATED> struct MRExpertStream {
    typedef GemmStream<G, GATED> Stream;
    static __device__ const bf16 *weights(const void *blocks, long long) { return (const bf16 *)blocks; }
};
#else
template <class G, bool GATED> struct MRExpertStream {
    typedef GemmQuantStream<G, GATED, MR_WEIGHT_TYPE> Stream;
    static __device__ typename Stream::Weights weights(const void *blocks, long long rowBytes) {
        return {(const mr_byte *)blocks, rowBytes};
    }
};
#endif

// Sums of the calling block's tile. w [experts] addresses of [outputs, inputs] matrices; rowBytes is of quantised ones.
template <class G, bool GATED>
__device__ __forceinline__ void mr_mixture_sums(typename G::Sums &sums, const GemmRows &those, const void *const *w,
                                                long long rowBytes, int expert, int outputs, int inputs,
                                                bf16 *shared) {
    typedef MRExpertStream<G, GATED> Expert;
    GemmSpans spans(inputs, 1);
    typename Expert::Stream stream;
    stream.begin(shared, Expert::weights(w[expert], rowBytes), (int)blockIdx.y, outputs, inputs, those, 0, spans.steps);
    mr_gemm_walk<G>(sums, stream, spans);
}

// gate_up: inner [rows * chosen, inner width], by slot, = function(gate·x) * (up·x); x [rows, hidden].
// down: out [rows * chosen, hidden], by slot, = down·inner.
#define MR_MIXTURE(TOKENS)                                                                                            \
    extern "C" __global__ void __launch_bounds__(128) mr_mixture_gate_up_##TOKENS(                                    \
        const bf16 *x, const void *const *w, long long rowBytes, const int *members, const int *tiles, bf16 *inner,   \
        int outputs, int inputs, int function) {                                                                      \
        typedef Gemm<TOKENS> G;                                                                                       \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        const int *tile = tiles + 4 * blockIdx.x;                                                                     \
        if (tile[0] < 0) return;                                                                                      \
        G::Sums sums;                                                                                                 \
        GemmRows those = {x, members, tile[1], tile[2]};                                                              \
        mr_mixture_sums<G, true>(sums, those, w, rowBytes, tile[0], outputs, inputs, shared);                         \
        mr_gemm_write_gated<G>(                                                                                       \
            sums, (int)blockIdx.y, outputs, tile[1], tile[1] + tile[2], nullptr, inner, function);                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(128) mr_mixture_down_##TOKENS(                                       \
        const bf16 *inner, const void *const *w, long long rowBytes, const int *tiles, float *out, int outputs,       \
        int inputs) {                                                                                                 \
        typedef Gemm<TOKENS> G;                                                                                       \
        MR_DYNAMIC_SHARED(bf16, shared);                                                                              \
        const int *tile = tiles + 4 * blockIdx.x;                                                                     \
        if (tile[0] < 0) return;                                                                                      \
        G::Sums sums;                                                                                                 \
        GemmRows those = {inner, nullptr, tile[1], tile[2]};                                                          \
        mr_mixture_sums<G, false>(sums, those, w, rowBytes, tile[0], outputs, inputs, shared);                        \
        mr_gemm_write<G>(                                                                                             \
            sums, (int)blockIdx.y, outputs, tile[1], tile[1] + tile[2], nullptr, out, outputs, false);                \
    }

MR_MIXTURE(16)
MR_MIXTURE(32)
MR_MIXTURE(64)

// y[r] += sum over r's choices, ascending, of weight * out[slot]; all [.., hidden].
extern "C" __global__ void __launch_bounds__(256)
    mr_mixture_add(const float *out, const int *slots, const float *weights, float *y, int chosen, int hidden) {
    long long row = blockIdx.x;
    for (int c = (int)(blockIdx.y * blockDim.x + threadIdx.x); c < hidden; c += (int)(blockDim.x * gridDim.y)) {
        float sum = y[row * hidden + c];
        for (int i = 0; i < chosen; i++) {
            long long slot = slots[row * chosen + i];
            sum = __fmaf_rn(weights[row * chosen + i], out[slot * hidden + c], sum);
        }
        y[row * hidden + c] = sum;
    }
}
