// 4-bit weights of GPTQ and AWQ checkpoints to rows of groups that gemm_quantized.cu multiplies by (types 100 to 102;
// see gemm_quantized.cuh), and these to bfloat16 for gemm.cu. GPTQ: https://arxiv.org/abs/2210.17323, packed as
// AutoGPTQ does; AWQ: https://arxiv.org/abs/2306.00978, packed as its reference kernels expect.
// Both store matrices transposed.
#include "gemm_quantized.cuh"

// out [outputs][inputs / group][4 + group / 2], group 32, 64 or 128. A checkpoint's own group is `stored`, a multiple
// of `group`; scales [inputs / stored][outputs], float16 or bfloat16 (`wideScales`).
//   GPTQ: quants [inputs / 8][outputs] and zeros [inputs / stored][outputs / 8], eight to a word, the first lowest;
//   AWQ (`awq`): quants [inputs][outputs / 8] and zeros alike, where word places 0...7 are outputs 0 2 4 6 1 3 5 7.
// zeroOffset is added to zeros: 1 in GPTQ's first format, else 0. Grid (ceil(outputs / 128), inputs / group), block
// 128.
extern "C" __global__ void __launch_bounds__(128)
    mr_repack_groups(const unsigned *quants, const unsigned *zeros, const unsigned short *scales, void *out,
                     int outputs, int inputs, int group, int stored, int awq, int zeroOffset, int wideScales) {
    int output = (int)(blockIdx.x * blockDim.x + threadIdx.x), first = (int)blockIdx.y * group;
    if (output >= outputs) return;
    long long source = first / stored;
    int shift = 4 * (awq ? output % 8 / 2 + output % 2 * 4 : output % 8);
    unsigned zero = (zeros[source * (outputs / 8) + output / 8] >> shift & 15) + (unsigned)zeroOffset;
    int bytes = 4 + group / 2;
    mr_byte *target = (mr_byte *)out + ((long long)output * (inputs / group) + blockIdx.y) * bytes;
    unsigned head = scales[source * outputs + output] | zero << 16 | (wideScales ? 1u << 31 : 0);
    *(unsigned *)target = head;
    for (int part = 0; part < group / 32; part++) {
        for (int i = 0; i < 4; i++) {
            unsigned word = 0;
            for (int j = 0; j < 8; j++) {
                // Byte j / 2 of the word has elements 4 i + j / 2 and 16 after it.
                long long input = first + 32 * part + 4 * i + j / 2 + j % 2 * 16;
                unsigned packed = awq ? quants[input * (outputs / 8) + output / 8] >> shift
                                      : quants[input / 8 * outputs + output] >> (4 * (input % 8));
                word |= (packed & 15) << (4 * j);
            }
            *(unsigned *)(target + 4 + 16 * part + 4 * i) = word;
        }
    }
}

template <int TYPE> __device__ __forceinline__ void mr_widen_part(const mr_byte *row, bf16 *out, int part) {
    typedef MRQuantFormat<TYPE> Format;
    MRQuants quants;
    Format::read(quants, row + (long long)(part / 4) * Format::BYTES, part % 4);
    uint4 *target = (uint4 *)(out + 32ll * part);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        target[i] = make_uint4(Format::pair(quants, 4 * i), Format::pair(quants, 4 * i + 1),
                               Format::pair(quants, 4 * i + 2), Format::pair(quants, 4 * i + 3));
    }
}

// out [outputs, inputs] = bfloat16 of groups of 128, 64 or 32. Grid (outputs, any), block 128.
extern "C" __global__ void __launch_bounds__(128)
    mr_widen_groups(const void *groups, bf16 *out, int inputs, int group) {
    const mr_byte *row = (const mr_byte *)groups + (long long)blockIdx.x * (inputs / group) * (4 + group / 2);
    bf16 *target = out + (long long)blockIdx.x * inputs;
    for (int part = (int)(blockIdx.y * blockDim.x + threadIdx.x); part < inputs / 32;
         part += (int)(blockDim.x * gridDim.y)) {
        if (group == 128)
            mr_widen_part<100>(row, target, part);
        else if (group == 64)
            mr_widen_part<101>(row, target, part);
        else
            mr_widen_part<102>(row, target, part);
    }
}
