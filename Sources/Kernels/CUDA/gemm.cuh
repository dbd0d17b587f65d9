// The arithmetic that every matrix product shares, so that they agree bit for bit whatever the number of rows.
//
// y[rows, outputs] = x[rows, inputs] · w[outputs, inputs]ᵀ, in tiles of 128 outputs by TOKENS rows. Weights are the
// left operand of mma.m16n8k16 and rows its columns, in every tile, so that a row's sums never depend on where in a
// tile it lies. The canonical order of one sum: inputs are cut into `splits` spans, a number that follows from the shape of w
// alone; within a span, steps of 16 inputs ascend into one accumulator; spans are added up ascending.
#pragma once
#include "mr.cuh"

template <int TOKENS_> struct Gemm {
    static constexpr int TOKENS = TOKENS_, OUTPUTS = 128;
    static constexpr int DEEP = 64; // inputs of a stage
    static constexpr int DEPTH = TOKENS < 128 ? 4 : 3; // stages of the ring
    static constexpr int SPAN = TOKENS < 64 ? TOKENS : 64; // rows of a warp, which has 32 outputs
    static constexpr int THREADS = 128 * (TOKENS / SPAN);
    static constexpr int LINES = THREADS / 8; // that all threads copy at once, 16 bytes each
    static constexpr int COPIES = TOKENS / LINES; // of rows by each thread
    static constexpr int STAGE = (OUTPUTS + TOKENS) * DEEP;
    static constexpr int SUMS = 2 * SPAN / 8;
    // sums[m * SPAN / 8 + n]: outputs 16 m + lane / 4 and the one 8 below it, rows 8 n + lane % 4 * 2 and the next.
    typedef float Sums[SUMS][4];

    // Place of 8 inputs in a stage's rows of 64, spread over the banks.
    static __device__ int place(int row, int eight) { return row * DEEP + ((eight ^ (row & 7)) << 3); }

    static __device__ int lane() { return (int)threadIdx.x % 32; }
    // First output and row of the calling warp in its tile.
    static __device__ int warpOutput() { return (int)threadIdx.x / 32 % 4 * 32; }
    static __device__ int warpRow() { return (int)threadIdx.x / 128 * SPAN; }

    static __device__ void clear(Sums &sums) {
#pragma unroll
        for (int i = 0; i < SUMS * 4; i++) sums[i / 4][i % 4] = 0;
    }

    static __device__ void add(Sums &total, const Sums &sums) {
#pragma unroll
        for (int i = 0; i < SUMS * 4; i++) total[i / 4][i % 4] = __fadd_rn(total[i / 4][i % 4], sums[i / 4][i % 4]);
    }

    // sums += weights [128][64] · rows [TOKENS][64]ᵀ
    static __device__ void multiply(Sums &sums, const bf16 *weights, const bf16 *rows) {
        int l = lane(), output = warpOutput() + l % 16, row = warpRow() + l / 16 * 8 + l % 8;
#pragma unroll
        for (int k = 0; k < DEEP / 16; k++) {
            unsigned a[2][4];
#pragma unroll
            for (int m = 0; m < 2; m++) ldmatrix_x4(a[m], weights + place(output + 16 * m, 2 * k + l / 16));
#pragma unroll
            for (int n = 0; n < SPAN / 16; n++) {
                unsigned both[4];
                ldmatrix_x4(both, rows + place(row + 16 * n, 2 * k + l / 8 % 2));
                unsigned low[2] = {both[0], both[1]}, high[2] = {both[2], both[3]};
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    float(&first)[4] = sums[m * SPAN / 8 + 2 * n], (&second)[4] = sums[m * SPAN / 8 + 2 * n + 1];
                    mma_bf16(first, a[m], low, first);
                    mma_bf16(second, a[m], high, second);
                }
            }
        }
    }

    // Calls body(output, row, i, c) for each of the calling thread's sums[i][c], with its output and row in the tile.
    template <class Body> static __device__ void each(Body body) {
#pragma unroll
        for (int i = 0; i < SUMS * 4; i++) {
            int m = i / (SPAN / 2), n = i / 4 % (SPAN / 8), c = i % 4;
            body(warpOutput() + 16 * m + lane() / 4 + c / 2 * 8, warpRow() + 8 * n + lane() % 4 * 2 + c % 2,
                 m * SPAN / 8 + n, c);
        }
    }
};

// The rows that a tile multiplies: rows first..<first + count of x, or those that `members` names.
struct GemmRows {
    const bf16 *x; // [.., inputs]
    const int *members; // or null
    int first, count;
};

// Matrix row of a tile's output, or `outputs` for none; the tile's first is `output`. GATED: each warp has 16 of the
// upper half (gate), then the same of the lower (up).
template <bool GATED> __device__ __forceinline__ int mr_gemm_source(int local, int output, int outputs) {
    if (!GATED) return output + local < outputs ? output + local : outputs;
    int half = output / 2 + local / 32 * 16 + local % 16;
    return half < outputs / 2 ? half + (local / 16 % 2) * (outputs / 2) : outputs;
}

// Copies bfloat16 weights and rows of one tile through the ring.
template <class G, bool GATED> struct GemmStream {
    bf16 *ring;
    const bf16 *weights; // [outputs, inputs]
    int output, outputs; // first of the tile; of the matrix
    int inputs, step, end; // steps of 64 inputs
    int nextSlot, slot;
    long long rows[G::COPIES]; // offsets in x of the rows that the thread copies; -1: none
    const bf16 *x;

    __device__ void begin(bf16 *shared, const bf16 *w, int tile, int outputCount, int inputCount,
                          const GemmRows &those, int from, int to) {
        ring = shared;
        weights = w;
        output = tile * G::OUTPUTS;
        outputs = outputCount;
        inputs = inputCount;
        x = those.x;
#pragma unroll
        for (int i = 0; i < G::COPIES; i++) {
            int row = (int)threadIdx.x / 8 + i * G::LINES;
            rows[i] = -1;
            if (row < those.count) {
                rows[i] = (long long)(those.members ? those.members[those.first + row] : those.first + row) * inputs;
            }
        }
        step = from;
        end = to;
        nextSlot = slot = 0;
        for (int i = 0; i < G::DEPTH - 1; i++) load();
    }

    // 8 inputs from `source`, of which `left` exist; zeros for the others.
    __device__ void copy(bf16 *target, const bf16 *source, int left) const {
        if (inputs % 8 == 0) {
            cp_async(target, source, left > 0);
        } else {
            for (int i = 0; i < 8; i++) target[i] = i < left ? source[i] : to_bf16(0);
        }
    }

    __device__ void load() {
        if (step < end) {
            int eight = (int)threadIdx.x % 8, line = (int)threadIdx.x / 8, input = step * G::DEEP + 8 * eight;
            bf16 *target = ring + nextSlot * G::STAGE;
#pragma unroll
            for (int i = 0; i < G::OUTPUTS / G::LINES; i++) {
                int local = line + i * G::LINES, row = mr_gemm_source<GATED>(local, output, outputs);
                int left = row < outputs ? inputs - input : 0;
                copy(target + G::place(local, eight), weights + (left > 0 ? (long long)row * inputs + input : 0), left);
            }
            target += G::OUTPUTS * G::DEEP;
#pragma unroll
            for (int i = 0; i < G::COPIES; i++) {
                int left = rows[i] >= 0 ? inputs - input : 0;
                copy(target + G::place(line + i * G::LINES, eight), x + (left > 0 ? rows[i] + input : 0), left);
            }
            step++;
        }
        cp_async_commit();
        nextSlot = nextSlot + 1 == G::DEPTH ? 0 : nextSlot + 1;
    }

    // sums += the next `count` steps.
    __device__ void walk(typename G::Sums &sums, int count) {
        for (int i = 0; i < count; i++) {
            cp_async_wait<G::DEPTH - 2>();
            __syncthreads();
            load();
            const bf16 *stage = ring + slot * G::STAGE;
            G::multiply(sums, stage, stage + G::OUTPUTS * G::DEEP);
            slot = slot + 1 == G::DEPTH ? 0 : slot + 1;
        }
    }
};

// The spans of inputs, in steps of 64.
struct GemmSpans {
    int steps, each, splits;

    __device__ GemmSpans(int inputs, int count) {
        steps = (inputs + 63) / 64;
        each = (steps + count - 1) / count;
        splits = count;
    }
    __device__ int begin(int split) const { return split * each < steps ? split * each : steps; }
};

// All of a tile's spans, walked by one block.
template <class G, class Stream>
__device__ void mr_gemm_walk(typename G::Sums &total, Stream &stream, const GemmSpans &spans) {
    G::clear(total);
    stream.walk(total, spans.begin(1));
    for (int split = 1; split < spans.splits; split++) {
        typename G::Sums sums;
        G::clear(sums);
        stream.walk(sums, spans.begin(split + 1) - spans.begin(split));
        G::add(total, sums);
    }
}

// Adds up spans that a block each of the grid's z walked, in whichever block comes last: true there, with the total in
// `sums`. partial [tiles][splits][THREADS * SUMS * 4]; counters [tiles], 0 before and after.
template <class G>
__device__ bool mr_gemm_gather(typename G::Sums &sums, float *partial, int *counters, int tile, int splits) {
    const int size = G::THREADS * 4;
    float *mine = partial + ((long long)tile * splits + blockIdx.z) * (G::SUMS * size) + 4 * threadIdx.x;
#pragma unroll
    for (int i = 0; i < G::SUMS; i++) {
        *(float4 *)(mine + i * size) = make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]);
    }
    __threadfence();
    __shared__ int before;
    __syncthreads();
    if (threadIdx.x == 0) before = atomicAdd(counters + tile, 1);
    __syncthreads();
    if (before != splits - 1) return false;
    __threadfence();
    if (threadIdx.x == 0) counters[tile] = 0;
    mine = partial + (long long)tile * splits * (G::SUMS * size) + 4 * threadIdx.x;
    for (int split = 0; split < splits; split++, mine += G::SUMS * size) {
#pragma unroll
        for (int i = 0; i < G::SUMS; i++) {
            float4 four = __ldcg((const float4 *)(mine + i * size));
            float parts[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int c = 0; c < 4; c++) sums[i][c] = split == 0 ? parts[c] : __fadd_rn(sums[i][c], parts[c]);
        }
    }
    return true;
}

// The sums of the calling block's tile; false where another block has the rest to do.
template <class G, class Stream, class Weights>
__device__ bool mr_gemm(typename G::Sums &sums, Stream &stream, const Weights &w, const GemmRows &those, bf16 *shared,
                        float *partial, int *counters, int outputs, int inputs, int splits) {
    int tile = (int)blockIdx.y, split = (int)blockIdx.z;
    GemmSpans spans(inputs, splits);
    if (gridDim.z == 1) {
        stream.begin(shared, w, tile, outputs, inputs, those, 0, spans.steps);
        mr_gemm_walk<G>(sums, stream, spans);
        return true;
    }
    stream.begin(shared, w, tile, outputs, inputs, those, spans.begin(split), spans.begin(split + 1));
    G::clear(sums);
    stream.walk(sums, spans.begin(split + 1) - spans.begin(split));
    return mr_gemm_gather<G>(sums, partial, counters, (int)(blockIdx.x * gridDim.y) + tile, splits);
}

// What follows a tile's sums: y = sum (+ bias), or y += that; rows of y are `stride` apart.
template <class G>
__device__ void mr_gemm_write(const typename G::Sums &sums, int tile, int outputs, int first, int rows,
                              const float *bias, float *y, int stride, bool accumulate) {
    G::each([&](int output, int row, int place, int c) {
        output += tile * G::OUTPUTS;
        row += first;
        if (output >= outputs || row >= rows) return;
        float *at = y + (long long)row * stride + output;
        float value = bias ? __fadd_rn(sums[place][c], bias[output]) : sums[place][c];
        *at = accumulate ? __fadd_rn(*at, value) : value;
    });
}

// The same of a GATED tile: y[rows, outputs / 2] = function(gate + bias) * (up + bias), rounded.
template <class G>
__device__ void mr_gemm_write_gated(const typename G::Sums &sums, int tile, int outputs, int first, int rows,
                                    const float *bias, bf16 *y, int function) {
    int half = outputs / 2;
    G::each([&](int output, int row, int place, int c) {
        if (output / 16 % 2 != 0) return; // the other of the pair
        output = tile * (G::OUTPUTS / 2) + output / 32 * 16 + output % 16;
        row += first;
        if (output >= half || row >= rows) return;
        float gate = sums[place][c], up = sums[place + G::SPAN / 8][c];
        if (bias) {
            gate = __fadd_rn(gate, bias[output]);
            up = __fadd_rn(up, bias[half + output]);
        }
        y[(long long)row * half + output] = to_bf16(__fmul_rn(activation(gate, function), up));
    });
}
