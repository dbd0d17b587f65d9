// Twins of the PTX that mr.cuh wraps, under the same names. Fragment layouts as in
// https://docs.nvidia.com/cuda/parallel-thread-execution/ (mma.m16n8k16, ldmatrix).
#pragma once
#include "emulation.h"


inline unsigned short emulated_round_bf16(float value) {
    uint32_t bits = emulated_bits<uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline float emulated_half(unsigned short half) {
    uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
    uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    if (magnitude >= 0x0f800000) return emulated_bits<float>(sign | magnitude | 0x7f800000);
    return emulated_bits<float>(emulated_bits<uint32_t>(emulated_bits<float>(magnitude) * 0x1p112f) | sign);
}

inline float emulated_bf16(unsigned bits) { return emulated_bits<float>(bits << 16); }

// The operands of one lane; row g = lane / 4, column pair t = lane % 4.
struct EmulatedProduct {
    const unsigned *a, *b;
    const float *c;
    float *d;
};

// d = a * b + c, a[16][16] and b[16][8] bfloat16: exact products, summed over k in double, rounded once.
inline void emulated_mma(float *d, const unsigned *a, const unsigned *b, const float *c) {
    EmulatedProduct own = {a, b, c, d};
    emulation::warp_operation({"mma", 0xffffffffu, &own, [](void *const operands[32], unsigned) {
        float left[16][16], right[16][8], sum[16][8];
        for (int lane = 0; lane < 32; lane++) {
            const auto &p = *static_cast<const EmulatedProduct *>(operands[lane]);
            int g = lane / 4, t = lane % 4;
            for (int half = 0; half < 2; half++) {
                for (int r = 0; r < 4; r++) {
                    left[g + r % 2 * 8][2 * t + half + r / 2 * 8] = emulated_bf16(p.a[r] >> 16 * half & 0xffff);
                }
                for (int r = 0; r < 2; r++) right[2 * t + half + 8 * r][g] = emulated_bf16(p.b[r] >> 16 * half & 0xffff);
            }
            for (int r = 0; r < 4; r++) sum[g + r / 2 * 8][2 * t + r % 2] = p.c[r];
        }
        for (int row = 0; row < 16; row++) {
            for (int column = 0; column < 8; column++) {
                double total = 0;
                for (int k = 0; k < 16; k++) total += static_cast<double>(left[row][k]) * right[k][column];
                sum[row][column] = static_cast<float>(total + sum[row][column]);
            }
        }
        for (int lane = 0; lane < 32; lane++) {
            const auto &p = *static_cast<const EmulatedProduct *>(operands[lane]);
            for (int r = 0; r < 4; r++) p.d[r] = sum[lane / 4 + r / 2 * 8][2 * (lane % 4) + r % 2];
        }
    }});
}

struct EmulatedMatrixRow {
    unsigned *registers;
    const void *row;
};

// `count` 8x8 matrices of 16-bit elements: lane 8 i + r brings the address of row r of matrix i; the other lanes'
// addresses are not used. Register i of a lane: row lane / 4, columns 2 (lane % 4) and the next (transposed: the other
// way round).
template <int count, bool transposed> inline void emulated_ldmatrix(unsigned *registers, const void *row) {
    EmulatedMatrixRow own = {registers, row};
    emulation::warp_operation({"ldmatrix", 0xffffffffu, &own, [](void *const operands[32], unsigned) {
        for (int matrix = 0; matrix < count; matrix++) {
            unsigned short elements[8][8];
            for (int r = 0; r < 8; r++) {
                const void *at = static_cast<const EmulatedMatrixRow *>(operands[8 * matrix + r])->row;
                if (reinterpret_cast<uintptr_t>(at) % 16 != 0) emulation::fail("ldmatrix of a row at %p, no multiple of 16", at);
                memcpy(elements[r], at, 16);
            }
            for (int lane = 0; lane < 32; lane++) {
                int r = lane / 4, c = 2 * (lane % 4);
                unsigned low = transposed ? elements[c][r] : elements[r][c];
                unsigned high = transposed ? elements[c + 1][r] : elements[r][c + 1];
                static_cast<const EmulatedMatrixRow *>(operands[lane])->registers[matrix] = low | high << 16;
            }
        }
    }});
}

inline void emulated_copy(void *shared, const void *global, bool valid) {
    if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0)) {
        emulation::fail("cp.async from %p to %p: not multiples of 16", global, shared);
    }
    emulation::start_copy(shared, global, valid ? 16 : 0, valid ? 0 : 16);
}
