// Weights of GPTQ and AWQ checkpoints: to bfloat16 for gemm.cu, or to rows of groups that gemm_quantized.cu multiplies
// by (types 100 to 105; see gemm_quantized.cuh). GPTQ: https://arxiv.org/abs/2210.17323, packed as AutoGPTQ does; AWQ:
// https://arxiv.org/abs/2306.00978, packed as AutoAWQ does. GroupedWeights.swift says what lies where:
//   GPTQ: numbers [inputs * bits / 32][outputs], a word has neighbouring inputs, the first lowest; zeros
//         [groups][outputs * bits / 32], a word has neighbouring outputs;
//   AWQ (`awq`, 4 bits): numbers [inputs][outputs / 8], zeros [groups][outputs / 8]; word places 0...7 are outputs
//         0 2 4 6 1 3 5 7;
//   scales [groups][outputs]; groupOf [inputs]; zeroOffset is added to each word of zeros.
#include "gemm_quantized.cuh"

// Integers of the checkpoint, by input and output.
struct MRGroupedNumbers {
    const unsigned *numbers, *zeros;
    int outputs, bits, awq;
    unsigned zeroOffset;

    __device__ __forceinline__ int perWord() const { return bits == 4 ? 8 : 4; }
    __device__ __forceinline__ unsigned mask() const { return bits == 4 ? 15 : 255; }
    // Bits to shift a word that is packed along outputs.
    __device__ __forceinline__ int shift(int output) const {
        int place = output % perWord();
        return bits * (awq ? place / 2 + place % 2 * 4 : place);
    }
    __device__ __forceinline__ unsigned number(int input, int output) const {
        if (awq) return numbers[(long long)input * (outputs / 8) + output / 8] >> shift(output) & 15;
        return numbers[(long long)(input / perWord()) * outputs + output] >> (bits * (input % perWord())) & mask();
    }
    __device__ __forceinline__ unsigned zero(int group, int output) const {
        unsigned word = zeros[(long long)group * (outputs / perWord()) + output / perWord()] + zeroOffset;
        return word >> shift(output) & mask();
    }
};

// out [outputs, inputs] = bfloat16 of scale * (number - zero), the values of CPU/dequant_groups.c. scaleType is 1
// (float16), 30 (bfloat16) or 0 (float32). Grid (ceil(outputs / 128), any), block 128.
extern "C" __global__ void __launch_bounds__(128) mr_dequantize_groups(
    const unsigned *numbers, const unsigned *zeros, const void *scales, int scaleType, const int *groupOf, bf16 *out,
    int outputs, int inputs, int bits, int awq, int zeroOffset) {
    int output = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (output >= outputs) return;
    MRGroupedNumbers stored = {numbers, zeros, outputs, bits, awq, (unsigned)zeroOffset};
    bf16 *target = out + (long long)output * inputs;
    bool wide = inputs % 8 == 0 && is_wide(out);
    int group = -1;
    float scale = 0, zero = 0;
    for (int first = 8 * (int)blockIdx.y; first < inputs; first += 8 * (int)gridDim.y) {
        float v[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            v[i] = 0;
            if (first + i >= inputs) continue;
            if (groupOf[first + i] != group) {
                group = groupOf[first + i];
                long long at = (long long)group * outputs + output;
                scale = scaleType == 1    ? half_to_float(((const unsigned short *)scales)[at])
                        : scaleType == 30 ? to_float(((const bf16 *)scales)[at])
                                          : ((const float *)scales)[at];
                zero = (float)stored.zero(group, output);
            }
            v[i] = __fmul_rn(scale, __fsub_rn((float)stored.number(first + i, output), zero));
        }
        store8(target + first, v, inputs - first, wide);
    }
}

// out [outputs][inputs / group][4 + group * bits / 8]: rows of groups of 32, 64 or 128 positions, which must lie in one
// of the checkpoint's groups each. Position p is input order[p] (null: p). Scales are float16, or bfloat16
// (`wideScales`). Grid (ceil(outputs / 128), inputs / group), block 128.
extern "C" __global__ void __launch_bounds__(128) mr_repack_groups(
    const unsigned *numbers, const unsigned *zeros, const unsigned short *scales, const int *groupOf, const int *order,
    void *out, int outputs, int inputs, int group, int bits, int awq, int zeroOffset, int wideScales) {
    int output = (int)(blockIdx.x * blockDim.x + threadIdx.x), first = (int)blockIdx.y * group;
    if (output >= outputs) return;
    MRGroupedNumbers stored = {numbers, zeros, outputs, bits, awq, (unsigned)zeroOffset};
    int source = groupOf[order != nullptr ? order[first] : first];
    int bytes = 4 + group * bits / 8;
    mr_byte *target = (mr_byte *)out + ((long long)output * (inputs / group) + blockIdx.y) * bytes;
    unsigned scale = scales[(long long)source * outputs + output];
    *(unsigned *)target = scale | stored.zero(source, output) << 16 | (wideScales ? 1u << 31 : 0);
    for (int part = 0; part < group / 32; part++) {
        for (int i = 0; i < bits; i++) {
            unsigned word = 0;
            for (int j = 0; j < 32 / bits; j++) {
                // Of 4 bits, byte j / 2 of the word has elements 4 i + j / 2 and 16 after it.
                int place = first + 32 * part + 4 * i + (bits == 4 ? j / 2 + j % 2 * 16 : j);
                word |= stored.number(order != nullptr ? order[place] : place, output) << (bits * j);
            }
            *(unsigned *)(target + 4 + 4 * bits * part + 4 * i) = word;
        }
    }
}

template <int TYPE> __device__ __forceinline__ void mr_widen_parts(const mr_byte *groups, bf16 *out, int inputs) {
    typedef MRQuantFormat<TYPE> Format;
    long long rowBytes = (long long)inputs / (32 * Format::PARTS) * Format::BLOCK;
    const mr_byte *row = groups + blockIdx.x * rowBytes;
    bf16 *target = out + (long long)blockIdx.x * inputs;
    for (int part = (int)(blockIdx.y * blockDim.x + threadIdx.x); part < inputs / 32;
         part += (int)(blockDim.x * gridDim.y)) {
        MRQuants quants;
        Format::read(quants, row + (long long)(part / 4) * Format::BYTES, part % 4);
        uint4 *to = (uint4 *)(target + 32ll * part);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            to[i] = make_uint4(Format::pair(quants, 4 * i), Format::pair(quants, 4 * i + 1),
                               Format::pair(quants, 4 * i + 2), Format::pair(quants, 4 * i + 3));
        }
    }
}

// out [outputs, inputs] = bfloat16 of rows of groups of type 100 to 105. Grid (outputs, any), block 128.
extern "C" __global__ void __launch_bounds__(128)
    mr_widen_groups(const void *groups, bf16 *out, int inputs, int type) {
    const mr_byte *bytes = (const mr_byte *)groups;
    switch (type) {
    case 100: mr_widen_parts<100>(bytes, out, inputs); break;
    case 101: mr_widen_parts<101>(bytes, out, inputs); break;
    case 102: mr_widen_parts<102>(bytes, out, inputs); break;
    case 103: mr_widen_parts<103>(bytes, out, inputs); break;
    case 104: mr_widen_parts<104>(bytes, out, inputs); break;
    default: mr_widen_parts<105>(bytes, out, inputs); break;
    }
}

// y[r][p] = x[r][order[p]], [rows, inputs]: rows for weights whose inputs were put in another order. Grid (rows, any),
// block 128.
extern "C" __global__ void __launch_bounds__(128)
    mr_reorder_inputs(const bf16 *x, const int *order, bf16 *y, int inputs) {
    long long row = (long long)blockIdx.x * inputs;
    for (int p = (int)(blockIdx.y * blockDim.x + threadIdx.x); p < inputs; p += (int)(blockDim.x * gridDim.y))
        y[row + p] = x[row + order[p]];
}
