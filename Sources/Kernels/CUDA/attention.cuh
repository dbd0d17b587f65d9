// The arithmetic that every attention kernel shares, so that decode and prefill agree bit for bit.
//
// FlashAttention-2 (https://arxiv.org/abs/2307.08691) on 16 packed rows a warp: packed row i of a sequence and kv
// head is query head i % GROUP of row i / GROUP. The canonical order of one row's sums, whoever walks it:
//   - keys are cut at absolute positions into splits of 64;
//   - a split has a softmax (base 2) of its own: its maximum, sum and unnormalised output;
//   - these are folded into those of the splits before it by `AttentionFold`, ascending.
// A split that a row sees nothing of changes nothing of that row, so it may be walked or skipped. Keys and values at or
// after the sequence's end are read as zeros: slots that nobody has written may hold anything.
#pragma once
#include "fp8.cuh"

#define MR_INFINITY __int_as_float(0x7f800000)

template <class CACHE> struct AttentionCall {
    const bf16 *queries; // [rows, heads * WIDTH], rotated
    const CACHE *keys; // [blocks][kvHeads][BLOCK][WIDTH], bf16 or fp8
    const CACHE *values; // the same
    bf16 *outputs; // [rows, heads * WIDTH]
    const int *table; // of this sequence
    int firstRow, rows; // of this sequence in the batch
    int start; // position of firstRow
    int kvHeads, kvHead;
    int window; // a row sees itself and window - 1 positions before it; 0: all
    float scale, softCap; // softCap 0: none
};

// State of the two packed rows that a thread shares with the three others of its quad: fragment row lane / 4 and
// the one 8 below it. `output[n][0...1]` are columns 8 n + lane % 4 * 2 and the next of the first, [2...3] of the
// second.
template <int WIDTH> struct AttentionRows {
    float maximum[2], sum[2];
    float output[WIDTH / 8][4];
};

// Factors that bring what came before and the next split to their common maximum; nothing seen at all gives 0s.
struct AttentionFold {
    float maximum, before, split;

    __device__ AttentionFold(float maximumBefore, float maximumOfSplit) {
        maximum = fmaxf(maximumBefore, maximumOfSplit);
        float shift = maximum == -MR_INFINITY ? 0.0f : maximum;
        before = fast_exp2(__fadd_rn(maximumBefore, -shift));
        split = fast_exp2(__fadd_rn(maximumOfSplit, -shift));
    }

    __device__ float operator()(float valueBefore, float valueOfSplit) const {
        return __fmaf_rn(valueOfSplit, split, __fmul_rn(valueBefore, before));
    }
};

// The first key that a row at `position` sees.
__device__ inline int mr_first_seen(int position, int window) {
    return window > 0 && position >= window ? position - window + 1 : 0;
}

// How mr_attention_decode cuts a sequence: `shared` among warps by split, from split `first` on.
struct AttentionSplits {
    static constexpr int SPLIT = 64;
    int first;
    bool shared;

    __device__ AttentionSplits(int start, int rows, int window, int splits) {
        first = mr_first_seen(start, window) / SPLIT;
        int count = (start + rows - 1) / SPLIT - first + 1;
        shared = count > 1 && count <= splits;
    }
};

// An output from its sums; + 0 because a -0 may come or go with splits that add nothing.
__device__ inline float mr_attention_output(float output, float sum) {
    return __fadd_rn(__fmul_rn(output, 1.0f / sum), 0.0f);
}

// WIDTH: head width, a multiple of 16 up to 256. GROUP: query heads a kv head. BLOCK: positions a cache block,
// a multiple of 16. K and V arrive in stages of STAGE keys through a ring of DEPTH stages, which either one warp
// (WHOLE_BLOCK false) or all warps of the block fill and read together. CACHE: bf16, or fp8, which is widened to another
// buffer before it is read.
template <class CACHE, int WIDTH, int GROUP, int BLOCK, int STAGE, int DEPTH, bool WHOLE_BLOCK> struct Attention {
    static constexpr int SPLIT = AttentionSplits::SPLIT, STRIDE = WIDTH + 8;
    static constexpr int COLUMNS = WIDTH / 8, STEPS = WIDTH / 16;
    static constexpr int STAGES = SPLIT / STAGE;
    // Wide heads leave no registers for the queries and for what came before the current split.
    static constexpr bool WIDE = WIDTH > 128;
    static constexpr bool NARROW = sizeof(CACHE) == 1;
    static constexpr int CHUNK = 16 / sizeof(CACHE); // elements of 16 bytes
    // Of a key in the ring, in elements; 16 bytes too many spread the banks.
    static constexpr int LINE = NARROW ? WIDTH : STRIDE;
    static constexpr int RING_BYTES = DEPTH * STAGE * LINE * (int)sizeof(CACHE) + (NARROW ? STAGE * STRIDE * 2 : 0);
    static constexpr int WARP_BYTES = WIDE ? 16 * STRIDE * 2 + COLUMNS * 4 * 32 * 4 : 0;
    static_assert(WIDTH % 16 == 0 && WIDTH <= 256 && BLOCK % 16 == 0 && SPLIT % STAGE == 0, "attention shape");

    AttentionCall<CACHE> call;
    CACHE *ring; // [DEPTH][STAGE][LINE]
    bf16 *widened; // NARROW: [STAGE][STRIDE]
    bf16 *queryRows; // WIDE: [16][STRIDE] of this warp
    float *earlier; // WIDE: [COLUMNS * 4][32] of this warp
    int lane, thread, threads;
    int from, to; // keys that the ring's readers walk
    int warpFrom, warpTo; // keys that any row of this warp sees
    int rowFrom[2], rowTo[2]; // keys that the thread's rows see
    int packed[2]; // packed rows of the thread
    unsigned query[WIDE ? 1 : STEPS][4];
    // The ring's writer.
    int nextSplit, nextKey, nextSlot, slot;
    bool nextValues;
    int tableBase, entry; // one warp: lane i holds entry tableBase + i of the block table

    static __device__ int least(int a, int b) { return a < b ? a : b; }
    static __device__ int most(int a, int b) { return a > b ? a : b; }

    __device__ void barrier() const {
        if (WHOLE_BLOCK)
            __syncthreads();
        else
            __syncwarp();
    }

    __device__ int firstSeen(int position) const { return mr_first_seen(position, call.window); }

    // Rows packedFirst..<packedFirst + 16 are this warp's; keys from..<to its ring's.
    __device__ void begin(const AttentionCall<CACHE> &made, char *shared, int packedFirst, int keysFrom,
                          int keysTo) {
        call = made;
        thread = WHOLE_BLOCK ? (int)threadIdx.x : (int)threadIdx.x % 32;
        threads = WHOLE_BLOCK ? (int)blockDim.x : 32;
        lane = (int)threadIdx.x % 32;
        int warp = (int)threadIdx.x / 32;
        ring = (CACHE *)shared;
        widened = (bf16 *)(ring + DEPTH * STAGE * LINE);
        queryRows = (bf16 *)(shared + RING_BYTES + warp * WARP_BYTES);
        earlier = (float *)(queryRows + 16 * STRIDE);
        from = keysFrom;
        to = keysTo;
        int total = call.rows * GROUP;
        warpFrom = firstSeen(call.start + packedFirst / GROUP);
        warpTo = packedFirst < total ? call.start + least(packedFirst + 15, total - 1) / GROUP + 1 : 0;
        for (int i = 0; i < 2; i++) {
            packed[i] = packedFirst + lane / 4 + 8 * i;
            int position = call.start + packed[i] / GROUP;
            rowFrom[i] = firstSeen(position);
            rowTo[i] = packed[i] < total ? position + 1 : 0;
        }
        loadQueries(packedFirst, total);
        nextSplit = from / SPLIT * SPLIT;
        nextKey = from / STAGE * STAGE;
        nextValues = false;
        nextSlot = slot = 0;
        tableBase = -32;
        for (int i = 0; i < DEPTH - 1; i++) load();
    }

    __device__ const bf16 *queryAt(int row) const { // of packed row `row`
        int heads = call.kvHeads * GROUP;
        return call.queries +
               ((long long)(call.firstRow + row / GROUP) * heads + call.kvHead * GROUP + row % GROUP) * WIDTH;
    }

    __device__ void loadQueries(int packedFirst, int total) {
        if constexpr (WIDE) {
            for (int i = lane; i < 16 * WIDTH / 8; i += 32) {
                int row = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
                uint4 eight = {0, 0, 0, 0};
                if (packedFirst + row < total) eight = *(const uint4 *)(queryAt(packedFirst + row) + column);
                *(uint4 *)(queryRows + row * STRIDE + column) = eight;
            }
            __syncwarp();
        } else {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                bool there = packed[i] < total;
                const unsigned *pairs = (const unsigned *)queryAt(there ? packed[i] : 0) + lane % 4;
#pragma unroll
                for (int k = 0; k < STEPS; k++) {
                    query[k][i] = there ? pairs[8 * k] : 0;
                    query[k][i + 2] = there ? pairs[8 * k + 4] : 0;
                }
            }
        }
    }

    // Starts the next stage's copy, if there is one: all keys of a split, then its values, then the next split.
    __device__ void load() {
        if (nextKey < to) {
            const CACHE *source = nextValues ? call.values : call.keys;
            CACHE *target = ring + nextSlot * STAGE * LINE;
            int end = call.start + call.rows, block = 0;
            if (STAGE == 16) block = blockOf(nextKey);
#pragma unroll 8
            for (int i = thread; i < STAGE * (WIDTH / CHUNK); i += threads) {
                int row = i / (WIDTH / CHUNK), column = i % (WIDTH / CHUNK) * CHUNK, key = nextKey + row;
                if (STAGE != 16) block = key < end ? call.table[key / BLOCK] : 0;
                long long line = ((long long)block * call.kvHeads + call.kvHead) * BLOCK + key % BLOCK;
                cp_async(target + row * LINE + column, source + line * WIDTH + column, key < end);
            }
            nextKey += STAGE;
            if (nextKey >= least(nextSplit + SPLIT, to)) {
                if (nextValues) nextSplit += SPLIT;
                nextKey = most(nextSplit, from / STAGE * STAGE);
                nextValues = !nextValues;
                if (nextSplit >= to) nextKey = to;
            }
        }
        cp_async_commit();
        nextSlot = nextSlot + 1 == DEPTH ? 0 : nextSlot + 1;
    }

    // The block that holds `key`, which the sequence has reached; called by a whole warp.
    __device__ int blockOf(int key) {
        if (WHOLE_BLOCK) return call.table[key / BLOCK];
        int index = key / BLOCK;
        // Values follow their split's keys, so the base may have to step back.
        if (index < tableBase || index >= tableBase + 32) {
            tableBase = nextSplit / BLOCK;
            int last = (call.start + call.rows - 1) / BLOCK;
            entry = tableBase + lane <= last ? call.table[tableBase + lane] : 0;
        }
        return __shfl_sync(MR_FULL_WARP, entry, index - tableBase);
    }

    // The ring's next stage, arrived; what was read before it is given to the writer.
    __device__ const bf16 *take() {
        cp_async_wait<DEPTH - 2>();
        barrier();
        load();
        const CACHE *stage = ring + slot * STAGE * LINE;
        slot = slot + 1 == DEPTH ? 0 : slot + 1;
        if constexpr (NARROW) {
            for (int i = thread; i < STAGE * WIDTH / 16; i += threads) {
                uint4 chunk = *(const uint4 *)(stage + 16 * i);
                unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w}, pairs[8];
#pragma unroll
                for (int j = 0; j < 8; j++) {
                    pairs[j] = widen_fp8(__byte_perm(words[j / 2], 0, j % 2 == 0 ? 0x4140 : 0x4342));
                }
                bf16 *target = widened + 16 * i / WIDTH * STRIDE + 16 * i % WIDTH;
                ((uint4 *)target)[0] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
                ((uint4 *)target)[1] = make_uint4(pairs[4], pairs[5], pairs[6], pairs[7]);
            }
            barrier();
            return widened;
        } else {
            return stage;
        }
    }

    __device__ bool walked(int key) const { return key < to && key + STAGE > from; }
    __device__ bool seen(int key, int count) const { return key < warpTo && key + count > warpFrom; }

    // Scores of the warp's rows against one stage's keys.
    __device__ void score(float (*scores)[4], const bf16 *keys) const {
        int row = lane / 16 * 8 + lane % 8, column = lane / 8 % 2 * 8;
#pragma unroll
        for (int n = 0; n < STAGE / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) scores[n][i] = 0;
        }
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            unsigned a[4];
            if (WIDE) {
                ldmatrix_x4(a, queryRows + lane % 16 * STRIDE + lane / 16 * 8 + 16 * k);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) a[i] = query[WIDE ? 0 : k][i];
            }
#pragma unroll
            for (int n = 0; n < STAGE / 16; n++) {
                unsigned both[4];
                ldmatrix_x4(both, keys + (16 * n + row) * STRIDE + 16 * k + column);
                unsigned low[2] = {both[0], both[1]}, high[2] = {both[2], both[3]};
                mma_bf16(scores[2 * n], a, low, scores[2 * n]);
                mma_bf16(scores[2 * n + 1], a, high, scores[2 * n + 1]);
            }
        }
    }

    // Scores of a split to weights as the A operand, and the split's maximum and this thread's part of its sum to `rows`.
    __device__ void weigh(AttentionRows<WIDTH> &rows, float (&scores)[SPLIT / 8][4], int split,
                          unsigned (&weights)[SPLIT / 16][4]) const {
        const float log2e = 1.44269504f;
        float scale = call.softCap > 0 ? call.scale / call.softCap * (2 * log2e) : call.scale * log2e;
        float cap = call.softCap * log2e;
        float maximum[2] = {-MR_INFINITY, -MR_INFINITY};
#pragma unroll
        for (int n = 0; n < SPLIT / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = split + 8 * n + lane % 4 * 2 + i % 2;
                float score = __fmul_rn(scores[n][i], scale);
                // tanh(x) = 1 - 2 / (exp(2 x) + 1), which saturates rightly at both ends
                if (call.softCap > 0) {
                    float rest = __fdividef(1.0f, __fadd_rn(fast_exp2(score), 1.0f));
                    score = __fmul_rn(cap, __fmaf_rn(-2.0f, rest, 1.0f));
                }
                if (key < rowFrom[i / 2] || key >= rowTo[i / 2]) score = -MR_INFINITY;
                scores[n][i] = score;
                maximum[i / 2] = fmaxf(maximum[i / 2], score);
            }
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            maximum[r] = fmaxf(maximum[r], __shfl_xor_sync(MR_FULL_WARP, maximum[r], 1));
            maximum[r] = fmaxf(maximum[r], __shfl_xor_sync(MR_FULL_WARP, maximum[r], 2));
            rows.maximum[r] = maximum[r];
            // Nothing seen: any finite maximum makes all weights 0.
            if (maximum[r] == -MR_INFINITY) maximum[r] = 0;
        }
#pragma unroll
        for (int n = 0; n < SPLIT / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                scores[n][i] = fast_exp2(__fadd_rn(scores[n][i], -maximum[i / 2]));
                rows.sum[i / 2] = __fadd_rn(rows.sum[i / 2], scores[n][i]);
            }
            weights[n / 2][n % 2 * 2] = pack_bf16(scores[n][0], scores[n][1]);
            weights[n / 2][n % 2 * 2 + 1] = pack_bf16(scores[n][2], scores[n][3]);
        }
    }

    __device__ void addValues(AttentionRows<WIDTH> &rows, const unsigned (*weights)[4],
                              const bf16 *values) const {
        int row = lane / 8 % 2 * 8 + lane % 8, column = lane / 16 * 8;
#pragma unroll
        for (int k = 0; k < STAGE / 16; k++) {
            unsigned a[4] = {weights[k][0], weights[k][1], weights[k][2], weights[k][3]};
#pragma unroll
            for (int n = 0; n < COLUMNS / 2; n++) {
                unsigned both[4];
                ldmatrix_x4_trans(both, values + (16 * k + row) * STRIDE + 16 * n + column);
                unsigned low[2] = {both[0], both[1]}, high[2] = {both[2], both[3]};
                mma_bf16(rows.output[2 * n], a, low, rows.output[2 * n]);
                mma_bf16(rows.output[2 * n + 1], a, high, rows.output[2 * n + 1]);
            }
        }
    }

    // The result in `rows` of split `number`, or of its part in from..<to.
    __device__ void walkSplit(AttentionRows<WIDTH> &rows, int number) {
        float scores[SPLIT / 8][4];
        unsigned weights[SPLIT / 16][4];
        int split = number * SPLIT;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            rows.maximum[r] = -MR_INFINITY;
            rows.sum[r] = 0;
        }
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) rows.output[n][i] = 0;
        }
#pragma unroll
        for (int u = 0; u < STAGES; u++) {
            int key = split + u * STAGE;
            const bf16 *keys = nullptr;
            if (walked(key)) keys = take();
            if (walked(key) && seen(key, STAGE)) {
                score(scores + u * STAGE / 8, keys);
            } else {
#pragma unroll
                for (int n = 0; n < STAGE / 8; n++) {
#pragma unroll
                    for (int i = 0; i < 4; i++) scores[u * STAGE / 8 + n][i] = 0; // hidden by `weigh`
                }
            }
        }
        if (seen(split, SPLIT)) weigh(rows, scores, split, weights);
#pragma unroll
        for (int u = 0; u < STAGES; u++) {
            int key = split + u * STAGE;
            if (!walked(key)) continue;
            const bf16 *values = take();
            if (seen(key, STAGE)) addValues(rows, weights + u * STAGE / 16, values);
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            rows.sum[r] = __fadd_rn(rows.sum[r], __shfl_xor_sync(MR_FULL_WARP, rows.sum[r], 1));
            rows.sum[r] = __fadd_rn(rows.sum[r], __shfl_xor_sync(MR_FULL_WARP, rows.sum[r], 2));
        }
    }

    // `rows` becomes the fold of all splits of from..<to.
    __device__ void walkAll(AttentionRows<WIDTH> &rows) {
        int split = from / SPLIT, last = (to - 1) / SPLIT;
        walkSplit(rows, split);
        if (split == last) return;
        AttentionRows<WIDTH> before = rows; // WIDE: its outputs lie in `earlier` instead
        if (WIDE) {
#pragma unroll
            for (int i = 0; i < COLUMNS * 4; i++) earlier[i * 32 + lane] = rows.output[i / 4][i % 4];
        }
        while (++split <= last) {
            walkSplit(rows, split);
#pragma unroll
            for (int r = 0; r < 2; r++) {
                AttentionFold fold(before.maximum[r], rows.maximum[r]);
                before.maximum[r] = fold.maximum;
                before.sum[r] = fold(before.sum[r], rows.sum[r]);
#pragma unroll
                for (int i = 0; i < COLUMNS * 2; i++) {
                    int n = i / 2, at = 2 * r + i % 2;
                    float &kept = WIDE ? earlier[(4 * n + at) * 32 + lane] : before.output[n][at];
                    kept = fold(kept, rows.output[n][at]);
                }
            }
        }
        rows = before;
        if (WIDE) {
#pragma unroll
            for (int i = 0; i < COLUMNS * 4; i++) rows.output[i / 4][i % 4] = earlier[i * 32 + lane];
        }
    }

    __device__ void write(const AttentionRows<WIDTH> &rows) const {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (rowTo[r] == 0) continue;
            bf16 *line = call.outputs + (queryAt(packed[r]) - call.queries);
#pragma unroll
            for (int n = 0; n < COLUMNS; n++) {
                *(unsigned *)(line + 8 * n + lane % 4 * 2) =
                    pack_bf16(mr_attention_output(rows.output[n][2 * r], rows.sum[r]),
                              mr_attention_output(rows.output[n][2 * r + 1], rows.sum[r]));
            }
        }
    }
};
