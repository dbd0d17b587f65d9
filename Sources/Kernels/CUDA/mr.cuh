// What every kernel builds on: 16-bit floats, 16-byte accesses, the PTX that has no C++ spelling, reductions.
//
// Compiled by NVRTC without any header, and for the emulation in Tests/CUDAEmulation, which defines MR_EMULATION and
// twins of the instructions before. PTX: https://docs.nvidia.com/cuda/parallel-thread-execution/. Needs sm_80.
#pragma once

// bfloat16: the upper half of a float32.
struct __align__(2) bf16 {
    unsigned short bits;
};

// Two neighbours; `low` lies at the lower address.
struct __align__(4) bf16x2 {
    bf16 low, high;
};

#define MR_FULL_WARP 0xffffffffu

// Names the dynamic shared memory of the launch, 128-byte aligned; one per kernel.
#ifdef MR_EMULATION
#define MR_DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(emulation::dynamic_shared())
#else
#define MR_DYNAMIC_SHARED(type, name)                                 \
    extern __shared__ __align__(128) unsigned char mr_dynamic_shared[]; \
    type *name = reinterpret_cast<type *>(mr_dynamic_shared)
#endif

// 16-bit floats.

__device__ __forceinline__ float to_float(bf16 value) { return __uint_as_float((unsigned)value.bits << 16); }

// To nearest, ties to even.
__device__ __forceinline__ bf16 to_bf16(float value) {
    bf16 result;
#ifdef MR_EMULATION
    result.bits = emulated_round_bf16(value);
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
#endif
    return result;
}

// Two bfloat16 in a register, as tensor cores take them: `low` in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
#ifdef MR_EMULATION
    return emulated_round_bf16(low) | (unsigned)emulated_round_bf16(high) << 16;
#else
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
#endif
}

__device__ __forceinline__ float low_float(unsigned pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_float(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }

// What enters matrix products: bfloat16, or float32 where a kernel's macro MR_INPUT_BITS is 32 (16 where it is not given).
#ifndef MR_INPUT_BITS
#define MR_INPUT_BITS 16
#endif
#define MR_INPUT InputElement<MR_INPUT_BITS>::Type
template <int bits> struct InputElement {
    typedef bf16 Type;
    static __device__ __forceinline__ bf16 from(float value) { return to_bf16(value); }
};
template <> struct InputElement<32> {
    typedef float Type;
    static __device__ __forceinline__ float from(float value) { return value; }
};

__device__ __forceinline__ float to_float(float value) { return value; }

// IEEE 754 half, given by its bits.
__device__ __forceinline__ float half_to_float(unsigned short half) {
#ifdef MR_EMULATION
    return emulated_half(half);
#else
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(half));
    return result;
#endif
}

// Functions. The approximate ones are within 2^-22 of the value, relative; their results depend on the argument alone.

__device__ __forceinline__ float fast_exp2(float x) {
#ifdef MR_EMULATION
    return exp2f(x);
#else
    float result;
    asm("ex2.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#endif
}

#define MR_LOG2_E 1.4426950408889634f

__device__ __forceinline__ float fast_exp(float x) { return fast_exp2(x * MR_LOG2_E); }

// c * tanh(x / c) of scores, to float32's precision; NaN stays NaN.
__device__ __forceinline__ float soft_cap(float x, float cap) { return cap * tanhf(x / cap); }

__device__ __forceinline__ float silu(float x) { return x / (1 + expf(-x)); }

__device__ __forceinline__ float gelu_tanh(float x) {
    return 0.5f * x * (1 + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}

__device__ __forceinline__ float gelu_erf(float x) { return 0.5f * x * (1 + erff(x * 0.7071067811865476f)); }

// `function`: 0 silu, 1 gelu by tanh, 2 gelu by erf, 3 relu; NaN stays NaN.
__device__ __forceinline__ float activation(float x, int function) {
    switch (function) {
    case 0: return silu(x);
    case 1: return gelu_tanh(x);
    case 2: return gelu_erf(x);
    default: return x < 0 ? 0 : x;
    }
}

// Tensor cores. A lane's registers, with g = lane / 4 and t = lane % 4, two columns (or rows of b) each, the lower
// index in the lower half:
//   a[0]: row g, columns 2t 2t+1      a[1]: row g+8, the same     a[2], a[3]: as a[0], a[1] with columns + 8
//   b[0]: rows 2t 2t+1, column g      b[1]: rows + 8
//   c[0], c[1]: row g, columns 2t, 2t+1      c[2], c[3]: row g+8

// d = a[16][16] * b[16][8] + c, bfloat16 products summed in float32. d and c may be the same.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
#ifdef MR_EMULATION
    emulated_mma(d, a, b, c);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#endif
}

#ifndef MR_EMULATION
__device__ __forceinline__ unsigned shared_address(const void *pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}
#endif

// 8x8 matrices of 16-bit elements from shared memory. Lane 8 i + r gives the address of row r of matrix i (a multiple
// of 16); register i of a lane gets row lane / 4, columns 2 (lane % 4) and the next, of matrix i. In the _trans forms
// rows and columns change places.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *row) {
#ifdef MR_EMULATION
    emulated_ldmatrix<4, false>(r, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void *row) {
#ifdef MR_EMULATION
    emulated_ldmatrix<4, true>(r, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x2(unsigned (&r)[2], const void *row) {
#ifdef MR_EMULATION
    emulated_ldmatrix<2, false>(r, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

__device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&r)[2], const void *row) {
#ifdef MR_EMULATION
    emulated_ldmatrix<2, true>(r, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#endif
}

// Asynchronous copies. Each thread waits for its own; a barrier then shows them to the others.

// 16 bytes, both addresses multiples of 16; 16 zeros where not `valid` (`global` is then not read).
__device__ __forceinline__ void cp_async(void *shared, const void *global, bool valid = true) {
#ifdef MR_EMULATION
    emulated_copy(shared, global, valid);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(shared_address(shared)), "l"(global), "r"(valid ? 16 : 0) : "memory");
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#ifdef MR_EMULATION
    emulation::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all but the newest `groups_left` committed groups have landed.
template <int groups_left> __device__ __forceinline__ void cp_async_wait() {
#ifdef MR_EMULATION
    emulation::wait_for_copies(groups_left);
#else
    asm volatile("cp.async.wait_group %0;" :: "n"(groups_left) : "memory");
#endif
}

// A barrier of `threads` threads (a multiple of 32) of the block. Barrier 0 is __syncthreads.
template <int barrier> __device__ __forceinline__ void barrier_sync(int threads) {
#ifdef MR_EMULATION
    emulation::block_barrier("barrier_sync", barrier, (unsigned)threads);
#else
    asm volatile("bar.sync %0, %1;" :: "n"(barrier), "r"(threads) : "memory");
#endif
}

// Reductions in one fixed order: the same bits in every lane or thread.

struct Add {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
struct Max {
    template <typename T> __device__ __forceinline__ T operator()(T a, T b) const { return a < b ? b : a; }
};

template <typename T, typename Fold> __device__ __forceinline__ T warp_reduce(T value, Fold fold) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes >>= 1) value = fold(value, __shfl_xor_sync(MR_FULL_WARP, value, lanes));
    return value;
}

__device__ __forceinline__ float warp_sum(float value) { return warp_reduce(value, Add()); }
__device__ __forceinline__ float warp_max(float value) { return warp_reduce(value, Max()); }

// Over a block of whole warps, at most 32. `scratch` is shared memory for 32 values; it is free again when this returns.
template <typename T, typename Fold> __device__ __forceinline__ T block_reduce(T value, Fold fold, T neutral, T *scratch) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    value = warp_reduce(value, fold);
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    value = warp_reduce(lane < (int)(blockDim.x >> 5) ? scratch[lane] : neutral, fold);
    __syncthreads();
    return value;
}

__device__ __forceinline__ float block_sum(float value, float *scratch) { return block_reduce(value, Add(), 0.f, scratch); }
__device__ __forceinline__ float block_max(float value, float *scratch) {
    return block_reduce(value, Max(), -__int_as_float(0x7f800000), scratch);
}

// Eight neighbours of a row, the unit of element-wise kernels: the same arithmetic whether a row can be read 16 bytes
// at a time (`wide`: base and stride are multiples of 16 bytes) or not. `left` elements exist from `at` on, or more than 8;
// the others read as 0 and are not written.

__device__ __forceinline__ bool is_wide(const void *base) { return ((unsigned long long)base & 15) == 0; }

__device__ __forceinline__ void load8(float (&v)[8], const float *at, int left, bool wide) {
    if (wide && left >= 8) {
        float4 low = reinterpret_cast<const float4 *>(at)[0], high = reinterpret_cast<const float4 *>(at)[1];
        v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
        v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = i < left ? at[i] : 0;
    }
}

__device__ __forceinline__ void store8(float *at, const float (&v)[8], int left, bool wide) {
    if (wide && left >= 8) {
        reinterpret_cast<float4 *>(at)[0] = make_float4(v[0], v[1], v[2], v[3]);
        reinterpret_cast<float4 *>(at)[1] = make_float4(v[4], v[5], v[6], v[7]);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i < left) at[i] = v[i];
        }
    }
}

__device__ __forceinline__ void store8(bf16 *at, const float (&v)[8], int left, bool wide) {
    if (wide && left >= 8) {
        *reinterpret_cast<uint4 *>(at) = make_uint4(
            pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3]), pack_bf16(v[4], v[5]), pack_bf16(v[6], v[7]));
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i < left) at[i] = to_bf16(v[i]);
        }
    }
}
