// Kernels that try the execution model itself: on the emulation, and as they are on a device.
#include "mr.cuh"

// out[i] = sum of in over the block, by a tree in dynamic shared memory. One block.
extern "C" __global__ void probe_tree(const float *in, float *out) {
    MR_DYNAMIC_SHARED(float, tree);
    tree[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) tree[threadIdx.x] += tree[threadIdx.x + half];
        __syncthreads();
    }
    out[threadIdx.x] = tree[0];
}

// Reverses a block's values through static shared memory; with `forget`, without the barrier that this needs.
extern "C" __global__ void probe_reverse(const float *in, float *out, int forget) {
    __shared__ float values[256];
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    values[threadIdx.x] = in[at];
    if (!forget) __syncthreads();
    out[at] = values[blockDim.x - 1 - threadIdx.x];
}

// out[0...7][thread]: shuffles and votes; a warp at a time.
extern "C" __global__ void probe_warp(const int *in, int *out) {
    int t = threadIdx.x, n = blockDim.x, lane = t & 31, value = in[t];
    out[t] = __shfl_xor_sync(MR_FULL_WARP, value, 5);
    out[n + t] = __shfl_up_sync(MR_FULL_WARP, value, 3);
    out[2 * n + t] = __shfl_down_sync(MR_FULL_WARP, value, 7);
    out[3 * n + t] = __shfl_sync(MR_FULL_WARP, value, lane / 2);
    out[4 * n + t] = (int)__ballot_sync(MR_FULL_WARP, value & 1);
    out[5 * n + t] = (int)__match_any_sync(MR_FULL_WARP, (unsigned)value % 3);
    // Half-warps by themselves, a different number of times.
    unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    int sum = value;
    for (int i = 0; i < (lane < 16 ? 1 : 2); i++) sum += __shfl_xor_sync(half, sum, 1);
    out[6 * n + t] = sum;
    out[7 * n + t] = __reduce_max_sync(MR_FULL_WARP, value);
}

// counts[in[i] % 8] += 1 over the grid; largest[0] = max(in).
extern "C" __global__ void probe_atomics(const int *in, int *counts, int *largest) {
    int value = in[blockIdx.x * blockDim.x + threadIdx.x];
    atomicAdd(&counts[value % 8], 1);
    atomicMax(largest, value);
}

// d = a[16][16] * b[16][8] + c, all row-major; a and b go to shared memory by cp.async and to registers by ldmatrix. b is
// read transposed, since a lane wants two rows of one column. One warp.
extern "C" __global__ void probe_mma(const bf16 *a, const bf16 *b, const float *c, float *d, int skipWait) {
    __shared__ __align__(16) bf16 left[16 * 16];
    __shared__ __align__(16) bf16 right[16 * 8];
    int lane = threadIdx.x;
    cp_async(left + 8 * lane, a + 8 * lane);
    if (lane < 16) cp_async(right + 8 * lane, b + 8 * lane);
    cp_async_commit();
    if (!skipWait) cp_async_wait<0>();
    __syncthreads();
    unsigned ra[4], rb[2];
    float sum[4];
    ldmatrix_x4(ra, left + (lane % 8 + (lane / 8 % 2) * 8) * 16 + lane / 16 * 8);
    ldmatrix_x2_trans(rb, right + (lane & 15) * 8);
    for (int r = 0; r < 4; r++) sum[r] = c[(lane / 4 + r / 2 * 8) * 8 + 2 * (lane % 4) + r % 2];
    mma_bf16(sum, ra, rb, sum);
    for (int r = 0; r < 4; r++) d[(lane / 4 + r / 2 * 8) * 8 + 2 * (lane % 4) + r % 2] = sum[r];
}

// The same with b given as [8][16] (by columns), read without transposing, and fragments of a by two x2 reads.
extern "C" __global__ void probe_mma_columns(const bf16 *a, const bf16 *b, const float *c, float *d) {
    __shared__ __align__(16) bf16 left[16 * 16];
    __shared__ __align__(16) bf16 right[8 * 16];
    int lane = threadIdx.x;
    cp_async(left + 8 * lane, a + 8 * lane);
    cp_async_commit();
    // The second half is not valid, so zeros; then it is.
    if (lane < 16) cp_async(right + 8 * lane, b + 8 * lane, lane < 8);
    cp_async_commit();
    cp_async_wait<1>();
    cp_async_wait<0>();
    __syncthreads();
    if (lane >= 8 && lane < 16) {
        for (int i = 0; i < 8; i++) right[8 * lane + i].bits |= b[8 * lane + i].bits;
    }
    __syncthreads();
    unsigned first[2], second[2], rb[2];
    float sum[4];
    ldmatrix_x2(first, left + (lane & 15) * 16);
    ldmatrix_x2(second, left + (lane & 15) * 16 + 8);
    ldmatrix_x2(rb, right + (lane & 7) * 16 + (lane / 8 & 1) * 8);
    unsigned ra[4] = {first[0], first[1], second[0], second[1]};
    for (int r = 0; r < 4; r++) sum[r] = c[(lane / 4 + r / 2 * 8) * 8 + 2 * (lane % 4) + r % 2];
    mma_bf16(sum, ra, rb, sum);
    for (int r = 0; r < 4; r++) d[(lane / 4 + r / 2 * 8) * 8 + 2 * (lane % 4) + r % 2] = sum[r];
}

// sums[thread] = block_sum(in), largest[thread] = block_max(in); one block.
extern "C" __global__ void probe_reduce(const float *in, float *sums, float *largest) {
    __shared__ float scratch[32];
    float value = in[threadIdx.x];
    sums[threadIdx.x] = block_sum(value, scratch);
    largest[threadIdx.x] = block_max(value, scratch);
}

// bits[i] = bfloat16 of in[i]; pairs as pack_bf16 gives them; halves[i] = the half whose bits are i + first.
extern "C" __global__ void probe_rounding(const float *in, bf16 *bits, unsigned *pairs, float *halves, int first) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    bits[i] = to_bf16(in[i]);
    pairs[i] = pack_bf16(in[i], -in[i]);
    halves[i] = half_to_float((unsigned short)(i + first));
}

// Blocks count themselves; the last to arrive adds up what all wrote. `arrived` starts at 0 and is 0 again after.
extern "C" __global__ void probe_last_block(const int *in, int *partial, unsigned *arrived, int *total) {
    __shared__ int is_last;
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = in[blockIdx.x];
        __threadfence();
        is_last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
    }
    int wanted = __syncthreads_count(threadIdx.x % 3 == 0);
    if (!is_last || threadIdx.x != 0) return;
    int sum = wanted;
    for (unsigned i = 0; i < gridDim.x; i++) sum += partial[i];
    *total = sum;
}
