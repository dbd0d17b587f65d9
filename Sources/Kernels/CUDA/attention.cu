// Attention over the paged cache on tensor cores. Macros: MR_HEAD_WIDTH (a multiple of 16 up to 256), MR_GROUP (query
// heads a kv head), MR_BLOCK_SIZE (positions a cache block, a multiple of 16). attention.cuh has the arithmetic, and
// says why a row's result is the same bits whichever of these kernels computes it, in whatever company.
//
// Geometry (CUDALaunchAttention.swift computes it):
//   mr_attention_decode   grid (splits, kvHeads * ceil(maxRows * GROUP / 16), sequences), block 32
//   mr_attention_merge    grid (kvHeads * GROUP, sequences * maxRows), block WIDTH rounded up to 32, nothing shared;
//                         only after a decode with splits > 1
//   mr_attention_prefill  grid (tiles, kvHeads), block 32 * warps, 1 to 4 warps
// Per sequence: rowStart (its first row in the batch), rowCount (0: padding), start (position of that row),
// tableOffset (of its entries in `tables`). queries and outputs are [rows, kvHeads * GROUP * WIDTH].
#include "attention.cuh"

// Sequences of 1 to maxRows rows; others are left alone. Work is cut by split where `splits` suffices for a
// sequence; else, and with splits 1, one warp walks all its keys. With more than one split,
// results go to partial [sequences * maxRows][heads][splits][WIDTH] and stats [...][splits][2] (maximum, sum)
// for mr_attention_merge.
extern "C" __global__ void __launch_bounds__(32)
    mr_attention_decode(const bf16 *queries, const bf16 *keys, const bf16 *values, const int *rowStart,
                        const int *rowCount, const int *start, const int *tableOffset, const int *tables,
                        bf16 *outputs, float *partial, float *stats, int kvHeads, int maxRows, int splits,
                        int window, float scale, float softCap) {
    // One warp streams through a ring of its own; enough warps fit a multiprocessor to keep the memory busy.
    typedef Attention<MR_HEAD_WIDTH, MR_GROUP, MR_BLOCK_SIZE, 16, MR_HEAD_WIDTH <= 128 ? 6 : 4, false> Warp;
    MR_DYNAMIC_SHARED(char, shared);
    int sequence = blockIdx.z, kvHead = blockIdx.y % kvHeads, packedFirst = blockIdx.y / kvHeads * 16;
    int rows = rowCount[sequence], first = start[sequence], share = (int)blockIdx.x;
    if (rows == 0 || rows > maxRows || packedFirst >= rows * MR_GROUP) return;
    Warp warp;
    AttentionCall call = {queries, keys, values, outputs, tables + tableOffset[sequence], rowStart[sequence],
                          rows, first, kvHeads, kvHead, window, scale, softCap};
    AttentionSplits cut(first, rows, window, splits);
    int from = mr_first_seen(first + packedFirst / MR_GROUP, window);
    int to = first + Warp::least(packedFirst + 15, rows * MR_GROUP - 1) / MR_GROUP + 1;
    if (!cut.shared) {
        if (share > 0) return;
    } else {
        from = Warp::most(from, (cut.first + share) * Warp::SPLIT);
        to = Warp::least(to, (cut.first + share + 1) * Warp::SPLIT);
        if (from >= to) return;
    }
    warp.begin(call, shared, packedFirst, from, to);
    AttentionRows<MR_HEAD_WIDTH> result;
    if (!cut.shared) {
        warp.walkAll(result);
        warp.write(result);
        return;
    }
    warp.walkSplit(result, cut.first + share);
    int heads = kvHeads * MR_GROUP;
    for (int r = 0; r < 2; r++) {
        if (warp.rowTo[r] == 0) continue;
        int row = sequence * maxRows + warp.packed[r] / MR_GROUP;
        int head = kvHead * MR_GROUP + warp.packed[r] % MR_GROUP;
        long long at = ((long long)row * heads + head) * splits + share;
        for (int n = 0; n < Warp::COLUMNS; n++) {
            float2 two = {result.output[n][2 * r], result.output[n][2 * r + 1]};
            *(float2 *)(partial + at * MR_HEAD_WIDTH + 8 * n + warp.lane % 4 * 2) = two;
        }
        if (warp.lane % 4 == 0) {
            float2 two = {result.maximum[r], result.sum[r]};
            *(float2 *)(stats + 2 * at) = two;
        }
    }
}

// Folds the splits of each row of mr_attention_decode in ascending order.
extern "C" __global__ void
mr_attention_merge(const float *partial, const float *stats, const int *rowStart, const int *rowCount,
                   const int *start, bf16 *outputs, int maxRows, int splits, int window) {
    int sequence = blockIdx.y / maxRows, row = blockIdx.y % maxRows, heads = gridDim.x, head = blockIdx.x;
    int rows = rowCount[sequence], column = threadIdx.x;
    if (rows > maxRows || row >= rows || column >= MR_HEAD_WIDTH) return;
    AttentionSplits cut(start[sequence], rows, window, splits);
    if (!cut.shared) return;
    int position = start[sequence] + row;
    long long at = ((long long)blockIdx.y * heads + head) * splits - cut.first;
    float maximum = -MR_INFINITY, sum = 0, output = 0;
    int last = position / AttentionSplits::SPLIT;
    for (int split = mr_first_seen(position, window) / AttentionSplits::SPLIT; split <= last; split++) {
        AttentionFold fold(maximum, stats[2 * (at + split)]);
        maximum = fold.maximum;
        sum = fold(sum, stats[2 * (at + split) + 1]);
        output = fold(output, partial[(at + split) * MR_HEAD_WIDTH + column]);
    }
    outputs[((long long)(rowStart[sequence] + row) * heads + head) * MR_HEAD_WIDTH + column] =
        to_bf16(mr_attention_output(output, sum));
}

// tiles [count][2]: sequence (-1: padding) and first packed row (row * GROUP + head of the group) of 16 * warps.
extern "C" __global__ void __launch_bounds__(128)
    mr_attention_prefill(const bf16 *queries, const bf16 *keys, const bf16 *values, const int *rowStart,
                         const int *rowCount, const int *start, const int *tableOffset, const int *tables,
                         const int *tiles, bf16 *outputs, int kvHeads, int window, float scale, float softCap) {
    typedef Attention<MR_HEAD_WIDTH, MR_GROUP, MR_BLOCK_SIZE, MR_HEAD_WIDTH <= 128 ? 64 : 32, 3, true> Block;
    MR_DYNAMIC_SHARED(char, shared);
    int sequence = tiles[2 * blockIdx.x], packed = tiles[2 * blockIdx.x + 1];
    if (sequence < 0) return;
    int rows = rowCount[sequence], first = start[sequence];
    AttentionCall call = {queries, keys, values, outputs, tables + tableOffset[sequence], rowStart[sequence],
                          rows, first, kvHeads, (int)blockIdx.y, window, scale, softCap};
    int last = Block::least(packed + (int)blockDim.x / 2, rows * MR_GROUP) - 1;
    Block block;
    block.begin(call, shared, packed + (int)threadIdx.x / 32 * 16, mr_first_seen(first + packed / MR_GROUP, window),
                first + last / MR_GROUP + 1);
    AttentionRows<MR_HEAD_WIDTH> result;
    block.walkAll(result);
    block.write(result);
}
