// Rows of checkpoint tensors: looked up by token or position, or widened as a matrix.
//
// `type` is GGUF's type id (TensorType.swift), `rowBytes` the distance of two rows; tensors begin at multiples of 16
// bytes. Layouts: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the block layouts of ggml's
// tensor types.
// Values are the CPU's (CPU/dequant.c), bit for bit: no multiplication and addition is fused.
#include "mr.cuh"

typedef unsigned char byte;

__constant__ signed char iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Blocks have even sizes, so 16-bit fields are aligned.
__device__ __forceinline__ float half_at(const byte *at) {
    return half_to_float(*reinterpret_cast<const unsigned short *>(at));
}

__device__ __forceinline__ unsigned word_at(const byte *at) {
    const unsigned short *halves = reinterpret_cast<const unsigned short *>(at);
    return halves[0] | (unsigned)halves[1] << 16;
}

// Element i (of 32) of packed nibbles: low ones first.
__device__ __forceinline__ int nibble(const byte *quants, int i) {
    return i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
}

__device__ __forceinline__ int fifth_bit(unsigned high, int i) { return (int)(high >> i & 1) << 4; }

// Scale and minimum of sub-block j (of 8) from 12 bytes, 6 bits each, as Q4_K and Q5_K store them.
__device__ __forceinline__ int sub_scale(const byte *packed, int j) {
    return j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
}
__device__ __forceinline__ int sub_minimum(const byte *packed, int j) {
    return j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
}

// 2-bit quant i (of 256): 128 elements take 32 bytes, 32 of them a bit pair.
__device__ __forceinline__ int two_bits(const byte *quants, int i) {
    return quants[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

__device__ float element_q2_k(const byte *block, int i) {
    int scale = block[i / 16];
    float step = __fmul_rn(half_at(block + 80), (float)(scale & 15));
    return __fsub_rn(
        __fmul_rn(step, (float)two_bits(block + 16, i)), __fmul_rn(half_at(block + 82), (float)(scale >> 4)));
}

__device__ float element_q3_k(const byte *block, int i) {
    const byte *packed = block + 96;
    int j = i / 16;
    int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    int scale = (low | (packed[8 + j % 4] >> (j / 4 * 2) & 3) << 4) - 32;
    int high = block[i % 32] >> (i / 32) & 1;
    return __fmul_rn(__fmul_rn(half_at(block + 108), (float)scale), (float)(two_bits(block + 32, i) - (high ? 0 : 4)));
}

__device__ float element_q4_k(const byte *block, int i) {
    int j = i / 32, quant = block[16 + j / 2 * 32 + i % 32] >> (j % 2 * 4) & 15;
    float step = __fmul_rn(half_at(block), (float)sub_scale(block + 4, j));
    return __fsub_rn(
        __fmul_rn(step, (float)quant), __fmul_rn(half_at(block + 2), (float)sub_minimum(block + 4, j)));
}

__device__ float element_q5_k(const byte *block, int i) {
    int j = i / 32;
    int quant = (block[48 + j / 2 * 32 + i % 32] >> (j % 2 * 4) & 15) | fifth_bit(block[16 + i % 32], j);
    float step = __fmul_rn(half_at(block), (float)sub_scale(block + 4, j));
    return __fsub_rn(
        __fmul_rn(step, (float)quant), __fmul_rn(half_at(block + 2), (float)sub_minimum(block + 4, j)));
}

__device__ float element_q6_k(const byte *block, int i) {
    int half = i / 128, n = i % 128 / 32, l = i % 32;
    int low = block[half * 64 + n % 2 * 32 + l] >> (n / 2 * 4) & 15;
    int high = block[128 + half * 32 + l] >> (2 * n) & 3;
    float step = __fmul_rn(half_at(block + 208), (float)(signed char)block[192 + i / 16]);
    return __fmul_rn(step, (float)((low | high << 4) - 32));
}

__device__ float element_iq4_xs(const byte *block, int i) {
    int j = i / 32, low = block[4 + j / 2] >> (j % 2 * 4) & 15;
    int high = (block[2] | block[3] << 8) >> (2 * j) & 3;
    float step = __fmul_rn(half_at(block), (float)((low | high << 4) - 32));
    return __fmul_rn(step, (float)iq4_values[nibble(block + 8 + 16 * j, i % 32)]);
}

// {f16 d, m, ...}: d * quant + m
__device__ __forceinline__ float with_minimum(const byte *block, int quant) {
    return __fadd_rn(__fmul_rn(half_at(block), (float)quant), half_at(block + 2));
}

template <int type> __device__ __forceinline__ float element(const byte *row, int column) {
    constexpr int bytes = type == 2 || type == 20 ? 18 : type == 3 ? 20 : type == 6 ? 22 : type == 7 ? 24 : 34;
    const byte *small = row + (long long)(column / 32) * bytes, *large = row;
    int i = column % 32, j = column % 256;
    long long super = column / 256;
    switch (type) {
    case 0: return reinterpret_cast<const float *>(row)[column];
    case 1: return half_at(row + 2ll * column);
    case 2: return __fmul_rn(half_at(small), (float)(nibble(small + 2, i) - 8));
    case 3: return with_minimum(small, nibble(small + 4, i));
    case 6:
        return __fmul_rn(half_at(small), (float)((nibble(small + 6, i) | fifth_bit(word_at(small + 2), i)) - 16));
    case 7: return with_minimum(small, nibble(small + 8, i) | fifth_bit(word_at(small + 4), i));
    case 8: return __fmul_rn(half_at(small), (float)(signed char)small[2 + i]);
    case 10: return element_q2_k(large + super * 84, j);
    case 11: return element_q3_k(large + super * 110, j);
    case 12: return element_q4_k(large + super * 144, j);
    case 13: return element_q5_k(large + super * 176, j);
    case 14: return element_q6_k(large + super * 210, j);
    case 20: return __fmul_rn(half_at(small), (float)iq4_values[nibble(small + 2, i)]);
    case 23: return element_iq4_xs(large + super * 136, j);
    default: return to_float(reinterpret_cast<const bf16 *>(row)[column]);
    }
}

template <int type> __device__ __forceinline__ void elements8(float (&v)[8], const byte *row, int column, int left) {
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = i < left ? element<type>(row, column + i) : 0;
}

// v = row[column ..< column + 8]; 0 from `left` on.
__device__ void read8(float (&v)[8], int type, const byte *row, int column, int left) {
    switch (type) {
    case 0: elements8<0>(v, row, column, left); break;
    case 1: elements8<1>(v, row, column, left); break;
    case 2: elements8<2>(v, row, column, left); break;
    case 3: elements8<3>(v, row, column, left); break;
    case 6: elements8<6>(v, row, column, left); break;
    case 7: elements8<7>(v, row, column, left); break;
    case 8: elements8<8>(v, row, column, left); break;
    case 10: elements8<10>(v, row, column, left); break;
    case 11: elements8<11>(v, row, column, left); break;
    case 12: elements8<12>(v, row, column, left); break;
    case 13: elements8<13>(v, row, column, left); break;
    case 14: elements8<14>(v, row, column, left); break;
    case 20: elements8<20>(v, row, column, left); break;
    case 23: elements8<23>(v, row, column, left); break;
    default: elements8<30>(v, row, column, left); break;
    }
}

// x[r] = table[tokens[r]] * scale, [rows, width]. Grid (rows, any), block 128.
extern "C" __global__ void __launch_bounds__(128) mr_embed(
    const void *table, int type, long long rowBytes, const int *tokens, float scale, float *x, int width) {
    const byte *row = (const byte *)table + tokens[blockIdx.x] * rowBytes;
    float *target = x + (long long)blockIdx.x * width;
    bool wide = width % 4 == 0 && is_wide(x);
    for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < width; c += 8 * blockDim.x * gridDim.y) {
        float v[8];
        read8(v, type, row, c, width - c);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] *= scale;
        store8(target + c, v, width - c, wide);
    }
}

// x[r] += table[positions[r] + offset], [rows, width]. Grid (rows, any), block 128.
extern "C" __global__ void __launch_bounds__(128) mr_add_positions(
    const void *table, int type, long long rowBytes, const int *positions, int offset, float *x, int width) {
    const byte *row = (const byte *)table + (positions[blockIdx.x] + offset) * rowBytes;
    float *target = x + (long long)blockIdx.x * width;
    bool wide = width % 4 == 0 && is_wide(x);
    for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < width; c += 8 * blockDim.x * gridDim.y) {
        float v[8], sum[8];
        read8(v, type, row, c, width - c);
        load8(sum, target + c, width - c, wide);
#pragma unroll
        for (int i = 0; i < 8; i++) sum[i] += v[i];
        store8(target + c, sum, width - c, wide);
    }
}

// out[rows = outputs, columns = inputs] = the tensor as products take it; output o is tensor row rowOrder[o] (null: o).
// `transposed`: the tensor lies as [inputs, outputs], and rowOrder names its columns.
// Grid (rows, any), block 128; transposed: grid (ceil(rows / 32), ceil(columns / 32)), block 128. Static
// shared memory 4.2 KB.
extern "C" __global__ void __launch_bounds__(128) mr_dequantize(
    const void *blocks, int type, long long rowBytes, const int *rowOrder, int transposed, MR_INPUT *out, int rows,
    int columns) {
    __shared__ float tile[32][33];
    if (!transposed) {
        long long from = rowOrder != nullptr ? rowOrder[blockIdx.x] : blockIdx.x;
        const byte *row = (const byte *)blocks + from * rowBytes;
        MR_INPUT *target = out + (long long)blockIdx.x * columns;
        bool wide = columns % 8 == 0 && is_wide(out);
        for (int c = 8 * (blockIdx.y * blockDim.x + threadIdx.x); c < columns; c += 8 * blockDim.x * gridDim.y) {
            float v[8];
            read8(v, type, row, c, columns - c);
            store8(target + c, v, columns - c, wide);
        }
        return;
    }
    int firstRow = blockIdx.x * 32, firstColumn = blockIdx.y * 32, lane = threadIdx.x & 31;
    for (int c = threadIdx.x >> 5; c < 32; c += 4) {
        int output = firstRow + lane, input = firstColumn + c;
        if (output >= rows || input >= columns) continue;
        int at = rowOrder != nullptr ? rowOrder[output] : output;
        float v[8];
        read8(v, type, (const byte *)blocks + input * rowBytes, at, 1);
        tile[c][lane] = v[0];
    }
    __syncthreads();
    for (int r = threadIdx.x >> 5; r < 32; r += 4) {
        int output = firstRow + r, input = firstColumn + lane;
        if (output < rows && input < columns) {
            out[(long long)output * columns + input] = InputElement<MR_INPUT_BITS>::from(tile[lane][r]);
        }
    }
}
