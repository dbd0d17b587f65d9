// The most likely token of each row of logits, for steps in which every sequence is greedy.
#include "mr.cuh"

typedef unsigned long long u64;

// Larger values first, of equal ones (both zeros are) the smaller id; what is no number before all.
__device__ __forceinline__ u64 token_key(float value, int token) {
    if (value != value) return ~0ull;
    unsigned bits = __float_as_uint(value + 0.f);
    return (u64)(bits & 0x80000000u ? ~bits : bits | 0x80000000u) << 32 | ~(unsigned)token;
}

// results [rows][2]: token and status as in sampling.cu (token -1 with a status other than 0); tokens [rows] or null: the
// token again, 0 in place of -1. keys and arrived [rows] are 0 before and after.
// Grid (rows, any): blocks along y share a row. Block 256, static shared memory 260 bytes.
extern "C" __global__ void __launch_bounds__(256) mr_argmax(
    const float *logits, int vocabulary, u64 *keys, unsigned *arrived, int *results, int *tokens) {
    __shared__ u64 scratch[32];
    __shared__ int is_last;
    long long r = blockIdx.x;
    const float *row = logits + r * vocabulary;
    u64 best = 0;
    int step = 4 * blockDim.x * gridDim.y;
    bool wide = vocabulary % 4 == 0 && is_wide(logits);
#pragma unroll 4
    for (int c = 4 * (blockIdx.y * blockDim.x + threadIdx.x); c < vocabulary; c += step) {
        if (wide) {
            float4 v = *reinterpret_cast<const float4 *>(row + c);
            best = Max()(Max()(best, token_key(v.x, c)), token_key(v.y, c + 1));
            best = Max()(Max()(best, token_key(v.z, c + 2)), token_key(v.w, c + 3));
        } else {
            for (int i = c; i < c + 4 && i < vocabulary; i++) best = Max()(best, token_key(row[i], i));
        }
    }
    best = block_reduce(best, Max(), (u64)0, scratch);
    if (threadIdx.x == 0) {
        atomicMax(&keys[r], best);
        __threadfence();
        is_last = atomicInc(&arrived[r], gridDim.y - 1) == gridDim.y - 1;
    }
    __syncthreads();
    if (!is_last || threadIdx.x != 0) return;
    __threadfence();
    best = atomicExch(&keys[r], (u64)0);
    unsigned value = (unsigned)(best >> 32);
    // Infinity and beyond; minus infinity.
    int status = value >= 0xff800000u ? 1 : value <= 0x007fffffu ? 2 : 0, token = (int)~(unsigned)best;
    results[2 * r] = status == 0 ? token : -1;
    results[2 * r + 1] = status;
    if (tokens != nullptr) tokens[r] = status == 0 ? token : 0;
}
