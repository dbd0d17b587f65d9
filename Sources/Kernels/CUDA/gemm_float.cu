// Matrix products in float32, without tensor cores: what the bfloat16 ones are measured by, not made for speed.
#include "mr.cuh"

#define TILE 64
#define STEP 16

// y[rows, outputs] = x[rows, inputs]·w[outputs, inputs]ᵀ + bias, or y += that; bias may be null. A result is one
// fused sum over the inputs in their order. Grid (ceil(outputs / 64), ceil(rows / 64)), block 256, static shared memory
// 8.5 KB.
extern "C" __global__ void __launch_bounds__(256) mr_gemm_float(
    const float *x, const float *w, const float *bias, float *y, int rows, int outputs, int inputs, int accumulate) {
    __shared__ float left[STEP][TILE + 4], right[STEP][TILE + 4];
    int firstRow = blockIdx.y * TILE, firstOutput = blockIdx.x * TILE;
    int row = threadIdx.x / 16 * 4, output = threadIdx.x % 16 * 4;
    float sums[4][4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
        for (int o = 0; o < 4; o++) sums[r][o] = 0;
    }
    for (int k = 0; k < inputs; k += STEP) {
        for (int i = threadIdx.x; i < TILE * STEP; i += 256) {
            int line = i / STEP, column = i % STEP;
            bool there = k + column < inputs;
            left[column][line] =
                there && firstRow + line < rows ? x[(long long)(firstRow + line) * inputs + k + column] : 0;
            right[column][line] =
                there && firstOutput + line < outputs ? w[(long long)(firstOutput + line) * inputs + k + column] : 0;
        }
        __syncthreads();
#pragma unroll
        for (int c = 0; c < STEP; c++) {
#pragma unroll
            for (int r = 0; r < 4; r++) {
#pragma unroll
                for (int o = 0; o < 4; o++) {
                    sums[r][o] = __fmaf_rn(left[c][row + r], right[c][output + o], sums[r][o]);
                }
            }
        }
        __syncthreads();
    }
    for (int r = 0; r < 4; r++) {
        for (int o = 0; o < 4; o++) {
            if (firstRow + row + r >= rows || firstOutput + output + o >= outputs) continue;
            float *result = y + (long long)(firstRow + row + r) * outputs + firstOutput + output + o;
            float sum = sums[r][o] + (bias != nullptr ? bias[firstOutput + output + o] : 0);
            *result = accumulate != 0 ? *result + sum : sum;
        }
    }
}
