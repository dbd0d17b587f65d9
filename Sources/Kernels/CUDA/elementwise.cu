// Operations on each row by itself: norms, activations, rotation, copies. Activations `[rows, width]`,
// float32 where they
// are sums, MR_INPUT where they are the input of a matrix product. No shape needs to be known when this is compiled.
//
// Threads take eight neighbours at a time; any width works, in the same arithmetic, and multiples of 8 in 16-byte
// accesses. Where a grid has `any` blocks along y, they share a row's columns.
#include "fp8.cuh"

#ifndef MR_CACHE_FP8
#define MR_CACHE_FP8 0
#endif

// The norms: grid rows, block 256, static shared memory 128 bytes.
#define NORM_THREADS 256

__device__ __forceinline__ float sum_of_squares(const float *row, int width, bool wide, float mean, float *scratch) {
    float sum = 0;
    for (int c = 8 * threadIdx.x; c < width; c += 8 * NORM_THREADS) {
        float v[8];
        load8(v, row + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float centered = i < width - c ? v[i] - mean : 0;
            sum += centered * centered;
        }
    }
    return block_sum(sum, scratch);
}

__device__ __forceinline__ float inverse_deviation(float squares, float epsilon, int width) {
    return 1 / sqrtf(squares / (float)width + epsilon);
}

// y = x / sqrt(mean(x^2) + epsilon) * weight
extern "C" __global__ void __launch_bounds__(NORM_THREADS) mr_rms_norm(
    const float *x, const float *weight, float epsilon, MR_INPUT *y, int width) {
    __shared__ float scratch[32];
    const float *row = x + (long long)blockIdx.x * width;
    MR_INPUT *target = y + (long long)blockIdx.x * width;
    bool wide = width % 8 == 0 && is_wide(x) && is_wide(weight) && is_wide(y);
    float factor = inverse_deviation(sum_of_squares(row, width, wide, 0, scratch), epsilon, width);
    for (int c = 8 * threadIdx.x; c < width; c += 8 * NORM_THREADS) {
        float v[8], w[8];
        load8(v, row + c, width - c, wide);
        load8(w, weight + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = v[i] * factor * w[i];
        store8(target + c, v, width - c, wide);
    }
}

// x += y / sqrt(mean(y^2) + epsilon) * weight
extern "C" __global__ void __launch_bounds__(NORM_THREADS) mr_add_rms_norm(
    const float *y, const float *weight, float epsilon, float *x, int width) {
    __shared__ float scratch[32];
    const float *row = y + (long long)blockIdx.x * width;
    float *target = x + (long long)blockIdx.x * width;
    bool wide = width % 8 == 0 && is_wide(x) && is_wide(weight) && is_wide(y);
    float factor = inverse_deviation(sum_of_squares(row, width, wide, 0, scratch), epsilon, width);
    for (int c = 8 * threadIdx.x; c < width; c += 8 * NORM_THREADS) {
        float v[8], w[8], sum[8];
        load8(v, row + c, width - c, wide);
        load8(w, weight + c, width - c, wide);
        load8(sum, target + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += v[i] * factor * w[i];
        store8(target + c, sum, width - c, wide);
    }
}

// y = (x - mean) / sqrt(var + epsilon) * weight + bias
extern "C" __global__ void __launch_bounds__(NORM_THREADS) mr_layer_norm(
    const float *x, const float *weight, const float *bias, float epsilon, MR_INPUT *y, int width) {
    __shared__ float scratch[32];
    const float *row = x + (long long)blockIdx.x * width;
    MR_INPUT *target = y + (long long)blockIdx.x * width;
    bool wide = width % 8 == 0 && is_wide(x) && is_wide(weight) && is_wide(bias) && is_wide(y);
    float sum = 0;
    for (int c = 8 * threadIdx.x; c < width; c += 8 * NORM_THREADS) {
        float v[8];
        load8(v, row + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += v[i];
    }
    float mean = block_sum(sum, scratch) / (float)width;
    float factor = inverse_deviation(sum_of_squares(row, width, wide, mean, scratch), epsilon, width);
    for (int c = 8 * threadIdx.x; c < width; c += 8 * NORM_THREADS) {
        float v[8], w[8], b[8];
        load8(v, row + c, width - c, wide);
        load8(w, weight + c, width - c, wide);
        load8(b, bias + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = (v[i] - mean) * factor * w[i] + b[i];
        store8(target + c, v, width - c, wide);
    }
}

// RMS-normalises head firstHead + blockIdx.y of each row, in place: qkv[r * stride + head * headWidth ...].
// Grid (rows, heads), block 32.
extern "C" __global__ void __launch_bounds__(32) mr_rms_norm_heads(
    float *qkv, int stride, int firstHead, int headWidth, const float *weight, float epsilon) {
    float *head = qkv + (long long)blockIdx.x * stride + (long long)(firstHead + blockIdx.y) * headWidth;
    bool wide = stride % 4 == 0 && headWidth % 8 == 0 && is_wide(qkv) && is_wide(weight);
    float sum = 0;
    for (int c = 8 * threadIdx.x; c < headWidth; c += 8 * 32) {
        float v[8];
        load8(v, head + c, headWidth - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += v[i] * v[i];
    }
    float factor = inverse_deviation(warp_sum(sum), epsilon, headWidth);
    for (int c = 8 * threadIdx.x; c < headWidth; c += 8 * 32) {
        float v[8], w[8];
        load8(v, head + c, headWidth - c, wide);
        load8(w, weight + c, headWidth - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = v[i] * factor * w[i];
        store8(head + c, v, headWidth - c, wide);
    }
}

// y = x, rounded to what products take. Any grid, block 256.
extern "C" __global__ void __launch_bounds__(256) mr_round(const float *x, MR_INPUT *y, long long count) {
    bool wide = is_wide(x) && is_wide(y);
    long long step = 8ll * blockDim.x * gridDim.x;
    for (long long c = 8 * (blockIdx.x * (long long)blockDim.x + threadIdx.x); c < count; c += step) {
        int left = count - c < 8 ? (int)(count - c) : 8;
        float v[8];
        load8(v, x + c, left, wide);
        store8(y + c, v, left, wide);
    }
}

// y = function(x), see `activation`. Any grid, block 256.
extern "C" __global__ void __launch_bounds__(256) mr_activate(
    const float *x, int function, MR_INPUT *y, long long count) {
    bool wide = is_wide(x) && is_wide(y);
    long long step = 8ll * blockDim.x * gridDim.x;
    for (long long c = 8 * (blockIdx.x * (long long)blockDim.x + threadIdx.x); c < count; c += step) {
        int left = count - c < 8 ? (int)(count - c) : 8;
        float v[8];
        load8(v, x + c, left, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = activation(v[i], function);
        store8(y + c, v, left, wide);
    }
}

// y = function(gate + bias) * (up + bias), of rows [gate width | up width]; bias [2 * width] or null.
// Grid (rows, any), block 256.
extern "C" __global__ void __launch_bounds__(256) mr_gate(
    const float *gateUp, const float *bias, int function, MR_INPUT *y, int width) {
    const float *gate = gateUp + 2ll * blockIdx.x * width, *up = gate + width;
    MR_INPUT *target = y + (long long)blockIdx.x * width;
    bool wide = width % 8 == 0 && is_wide(gateUp) && is_wide(bias) && is_wide(y);
    for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < width; c += 8 * blockDim.x * gridDim.y) {
        float g[8], u[8];
        load8(g, gate + c, width - c, wide);
        load8(u, up + c, width - c, wide);
        if (bias != nullptr) {
            float gateBias[8], upBias[8];
            load8(gateBias, bias + c, width - c, wide);
            load8(upBias, bias + width + c, width - c, wide);
#pragma unroll
            for (int i = 0; i < 8; i++) g[i] += gateBias[i], u[i] += upBias[i];
        }
#pragma unroll
        for (int i = 0; i < 8; i++) g[i] = activation(g[i], function) * u[i];
        store8(target + c, g, width - c, wide);
    }
}

// y += bias in every row. Grid (rows, any), block 256.
extern "C" __global__ void __launch_bounds__(256) mr_add_bias(float *y, const float *bias, int width) {
    float *row = y + (long long)blockIdx.x * width;
    bool wide = width % 4 == 0 && is_wide(y) && is_wide(bias);
    for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < width; c += 8 * blockDim.x * gridDim.y) {
        float v[8], b[8];
        load8(v, row + c, width - c, wide);
        load8(b, bias + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] += b[i];
        store8(row + c, v, width - c, wide);
    }
}

// logits = cap * tanh(logits / cap). Any grid, block 256.
extern "C" __global__ void __launch_bounds__(256) mr_soft_cap(float *logits, float cap, long long count) {
    bool wide = is_wide(logits);
    long long step = 8ll * blockDim.x * gridDim.x;
    for (long long c = 8 * (blockIdx.x * (long long)blockDim.x + threadIdx.x); c < count; c += step) {
        int left = count - c < 8 ? (int)(count - c) : 8;
        float v[8];
        load8(v, logits + c, left, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = soft_cap(v[i], cap);
        store8(logits + c, v, left, wide);
    }
}

// y[r] = x[wanted[r]]. Grid (wanted rows, any), block 128.
extern "C" __global__ void __launch_bounds__(128) mr_gather_rows(
    const MR_INPUT *x, const int *wanted, MR_INPUT *y, int width) {
    const MR_INPUT *row = x + (long long)wanted[blockIdx.x] * width;
    MR_INPUT *target = y + (long long)blockIdx.x * width;
    bool wide = width % 8 == 0 && is_wide(x) && is_wide(y);
    for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < width; c += 8 * blockDim.x * gridDim.y) {
        if (wide) {
            const uint4 *from = reinterpret_cast<const uint4 *>(row + c);
            uint4 *to = reinterpret_cast<uint4 *>(target + c);
            for (int i = 0; i < MR_INPUT_BITS / 16; i++) to[i] = from[i];
        } else {
            for (int i = c; i < c + 8 && i < width; i++) target[i] = row[i];
        }
    }
}

// tokens[r] = chosen[from[r]], where from[r] is not below 0: what the step before chose, without the host between.
// Grid covering rows, block 256.
extern "C" __global__ void __launch_bounds__(256) mr_take_tokens(
    const int *chosen, const int *from, int *tokens, int rows) {
    int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r < rows && from[r] >= 0) tokens[r] = chosen[from[r]];
}

// Rows [q heads | k heads | v heads] of headWidth each. Rotates q and k by the row's position: pair i of a head is
// (i, i + pairs), cosines and sines [positions][pairs]; null: no rotation. q goes to q[rows, heads *
// headWidth]; k and v go
// to slot slots[r] of keys and values, [blocks][kvHeads][blockSize][headWidth]; a slot below 0 is not written. Macro:
// MR_CACHE_FP8 1 for a cache of 8-bit floats (fp8.cuh).
// Grid (rows, any), block 256.
extern "C" __global__ void __launch_bounds__(256) mr_rotate_and_store(
    const float *qkv, int heads, int kvHeads, int headWidth, const float *cosines, const float *sines, int pairs,
    const int *positions, const int *slots, MR_INPUT *q, MR_CACHE *keys, MR_CACHE *values, int blockSize) {
    long long r = blockIdx.x;
    int slot = slots[r], chunks = (headWidth + 7) / 8, total = (heads + 2 * kvHeads) * chunks;
    long long block = slot / blockSize;
    int offset = slot % blockSize;
    const float *row = qkv + r * (heads + 2 * kvHeads) * headWidth;
    const float *cosine = cosines + (long long)positions[r] * pairs, *sine = sines + (long long)positions[r] * pairs;
    bool wide = headWidth % 8 == 0 && is_wide(qkv) && is_wide(q) && is_wide(keys) && is_wide(values);
    // Eight neighbours are of one half, all their pairs in the other.
    bool whole = wide && pairs % 8 == 0 && is_wide(cosines) && is_wide(sines);
    for (int item = blockIdx.y * blockDim.x + threadIdx.x; item < total; item += blockDim.x * gridDim.y) {
        int head = item / chunks, c = item % chunks * 8, left = headWidth - c;
        const float *source = row + (long long)head * headWidth;
        float v[8];
        load8(v, source + c, left, wide);
        if (cosines != nullptr && head < heads + kvHeads && c < 2 * pairs) {
            if (whole) {
                float other[8], cosineOf[8], sineOf[8];
                bool isFirst = c < pairs;
                load8(other, source + (isFirst ? c + pairs : c - pairs), 8, true);
                load8(cosineOf, cosine + (isFirst ? c : c - pairs), 8, true);
                load8(sineOf, sine + (isFirst ? c : c - pairs), 8, true);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    float turned = other[i] * sineOf[i];
                    v[i] = v[i] * cosineOf[i] + (isFirst ? -turned : turned);
                }
            } else {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    int at = c + i;
                    if (i >= left || at >= 2 * pairs) continue;
                    int pair = at < pairs ? at : at - pairs;
                    float turned = source[at < pairs ? at + pairs : pair] * sine[pair];
                    v[i] = v[i] * cosine[pair] + (at < pairs ? -turned : turned);
                }
            }
        }
        if (head < heads) {
            store8(q + (r * heads + head) * headWidth + c, v, left, wide);
        } else if (slot >= 0) {
            bool isKey = head < heads + kvHeads;
            int kvHead = head - heads - (isKey ? 0 : kvHeads);
            long long at = ((block * kvHeads + kvHead) * blockSize + offset) * headWidth + c;
            store8((isKey ? keys : values) + at, v, left, wide);
        }
    }
}
