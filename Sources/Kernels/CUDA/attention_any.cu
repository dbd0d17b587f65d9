// Attention for any head width up to 512 and any cache block size, without tensor cores: the twin of attention.cu
// where that has no instance, its reference, and the one for float32 (MR_INPUT_BITS 32). MR_CACHE_FP8 as there. A
// row's keys ascend through one online softmax, so its result depends on that row and its sequence alone; it is not the
// same bits as attention.cu's.
#include "fp8.cuh"

#ifndef MR_CACHE_FP8
#define MR_CACHE_FP8 0
#endif

// Grid (kvHeads * group, rows), block 32, nothing shared. keys and values [blocks][kvHeads][blockSize][headWidth];
// rowStart, rowCount, start, tableOffset [sequences]; queries and outputs [rows, kvHeads * group * headWidth]. Rows of
// no sequence are left alone. window 0: all; softCap 0: none.
extern "C" __global__ void __launch_bounds__(32)
    mr_attention_any(const MR_INPUT *queries, const MR_CACHE *keys, const MR_CACHE *values, const int *rowStart,
                     const int *rowCount, const int *start, const int *tableOffset, const int *tables,
                     MR_INPUT *outputs, int sequences, int kvHeads, int group, int headWidth, int blockSize,
                     int window, float scale, float softCap) {
    const int perLane = 16; // columns lane + 32 i of a head
    int head = (int)blockIdx.x, row = (int)blockIdx.y, lane = (int)threadIdx.x, mine = -1;
    for (int s = lane; s < sequences; s += 32) {
        if (row >= rowStart[s] && row < rowStart[s] + rowCount[s]) mine = s;
    }
    int sequence = warp_reduce(mine, Max());
    if (sequence < 0) return;
    const int *table = tables + tableOffset[sequence];
    int position = start[sequence] + row - rowStart[sequence], kvHead = head / group;
    long long line = ((long long)row * kvHeads * group + head) * headWidth;
    float query[perLane], output[perLane], maximum = -__int_as_float(0x7f800000), sum = 0;
#pragma unroll
    for (int i = 0; i < perLane; i++) {
        output[i] = 0;
        query[i] = lane + 32 * i < headWidth ? to_float(queries[line + lane + 32 * i]) : 0;
    }
    for (int key = window > 0 && position >= window ? position - window + 1 : 0; key <= position; key++) {
        long long plane = ((long long)table[key / blockSize] * kvHeads + kvHead) * blockSize;
        long long at = (plane + key % blockSize) * headWidth;
        float product = 0;
#pragma unroll
        for (int i = 0; i < perLane; i++) {
            int column = lane + 32 * i;
            if (column < headWidth) product = __fmaf_rn(query[i], to_float(keys[at + column]), product);
        }
        float score = __fmul_rn(warp_sum(product), scale);
        if (softCap > 0) score = soft_cap(score, softCap);
        float most = fmaxf(maximum, score), factor = fast_exp(maximum - most);
        // Rounded as attention.cu rounds it for the tensor cores.
        float weight = fast_exp(score - most), rounded = to_float(InputElement<MR_INPUT_BITS>::from(weight));
        maximum = most;
        sum = __fmaf_rn(sum, factor, weight);
#pragma unroll
        for (int i = 0; i < perLane; i++) {
            int column = lane + 32 * i;
            float value = column < headWidth ? to_float(values[at + column]) : 0;
            output[i] = __fmaf_rn(rounded, value, __fmul_rn(output[i], factor));
        }
    }
#pragma unroll
    for (int i = 0; i < perLane; i++) {
        if (lane + 32 * i < headWidth) {
            outputs[line + lane + 32 * i] = InputElement<MR_INPUT_BITS>::from(output[i] / sum);
        }
    }
}
