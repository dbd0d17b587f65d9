// 8-bit floats for the KV cache: e4m3 without infinities (https://arxiv.org/abs/2209.05433), sign, 4 bits of exponent
// (bias 7), 3 of mantissa; the largest value is 448, 0x7f is not a number.
#pragma once
#include "mr.cuh"

struct fp8 {
    unsigned char bits;
};

// What a cache holds: what enters products, or fp8 where a kernel's macro MR_CACHE_FP8 is 1 (0 where it is not given).
#define MR_CACHE CacheElement<MR_CACHE_FP8 ? 8 : MR_INPUT_BITS>::Type
template <int bits> struct CacheElement {
    typedef typename InputElement<bits>::Type Type;
};
template <> struct CacheElement<8> {
    typedef fp8 Type;
};

// To nearest, ties to even; what is too large becomes 448. In integer arithmetic, so that all devices agree.
__device__ __forceinline__ fp8 to_fp8(float value) {
    unsigned bits = __float_as_uint(value), magnitude = bits & 0x7fffffff, result;
    if (magnitude > 0x7f800000) {
        result = 0x7f;
    } else if (magnitude >= 0x3c800000) { // 2^-6, the smallest normal value
        unsigned rounded = (magnitude + 0x7ffff + (magnitude >> 20 & 1)) >> 20;
        rounded -= (127 - 7) << 3;
        result = rounded < 0x7e ? rounded : 0x7e;
    } else {
        // Multiples of 2^-9: adding 2^23 units rounds to one.
        float sum = __fadd_rn(__uint_as_float(magnitude), 16384.0f);
        result = __float_as_uint(sum) & 15;
    }
    fp8 made = {(unsigned char)(result | (bits >> 31) << 7)};
    return made;
}

__device__ __forceinline__ float to_float(fp8 value) {
    if ((value.bits & 0x7f) == 0x7f) return __uint_as_float(0x7fffffff);
    unsigned bits = (unsigned)(value.bits & 0x7f) << 20 | (unsigned)(value.bits & 0x80) << 24;
    return __fmul_rn(__uint_as_float(bits), 1.329227995784916e+36f); // 2^120: the biases' difference
}

// Bytes 0 and 2 of `pair` to two bfloat16, exactly; 0x7f becomes 480.
__device__ __forceinline__ unsigned widen_fp8(unsigned pair) {
    unsigned bits = (pair & 0x007f007fu) << 4 | (pair & 0x00800080u) << 8;
#ifdef MR_EMULATION
    return pack_bf16(low_float(bits) * 0x1p120f, high_float(bits) * 0x1p120f);
#else
    unsigned result;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(bits), "r"(0x7b807b80u), "r"(0x80008000u));
    return result;
#endif
}

// Eight neighbours, as mr.cuh's store8.
__device__ __forceinline__ void store8(fp8 *at, const float (&v)[8], int left, bool wide) {
    unsigned words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) words[i / 4] |= (unsigned)to_fp8(v[i]).bits << (8 * (i % 4));
    if (wide && left >= 8) {
        *reinterpret_cast<uint2 *>(at) = make_uint2(words[0], words[1]);
    } else {
        for (int i = 0; i < 8 && i < left; i++) at[i].bits = (unsigned char)(words[i / 4] >> (8 * (i % 4)));
    }
}
