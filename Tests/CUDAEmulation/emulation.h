// What CUDA C++ gives a kernel without any header, as far as the kernels use it, over the fibers of block.h. Included
// before a .cu file, outside of any namespace. Names and meanings:
// https://docs.nvidia.com/cuda/cuda-c-programming-guide/
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "block.h"
#include "registry.h"

#define MR_EMULATION 1

// Kernels are C functions, whose names the CPU kernels have too.
#define __global__ __attribute__((internal_linkage))
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
// One copy for all blocks, which run one after another; filled with NaN before each.
#define __shared__ __attribute__((section("mr_shared"))) static

// static_cast keeps kernels from writing to them.
#define threadIdx (static_cast<const emulation::Index &>(emulation::thread_index))
#define blockIdx (static_cast<const emulation::Index &>(emulation::block_index))
#define blockDim (static_cast<const emulation::Index &>(emulation::block_shape))
#define gridDim (static_cast<const emulation::Index &>(emulation::grid_shape))

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Arithmetic.

template <typename T> inline T min(T a, T b) { return b < a ? b : a; }
template <typename T> inline T max(T a, T b) { return a < b ? b : a; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }

template <typename To, typename From> inline To emulated_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits of another size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return emulated_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
inline float __int_as_float(int x) { return emulated_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emulated_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emulated_bits<double>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline unsigned long long __float2ull_rn(float x) { return static_cast<unsigned long long>(nearbyintf(x)); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 4; i++) sum += static_cast<int8_t>(a >> 8 * i) * static_cast<int8_t>(b >> 8 * i);
    return sum;
}
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    unsigned long long bytes = static_cast<unsigned long long>(high) << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned byte = static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7)) & 0xff;
        if (selector >> 4 * i & 8) byte = byte & 0x80 ? 0xff : 0;
        result |= byte << 8 * i;
    }
    return result;
}
template <typename T> inline T __ldg(const T *at) { return *at; }
template <typename T> inline T __ldcg(const T *at) { return *at; }
template <typename T> inline T __ldcs(const T *at) { return *at; }
template <typename T> inline void __stcs(T *at, T value) { *at = value; }

// Order between threads.

inline void __syncthreads() { emulation::block_barrier("__syncthreads", 0, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}

// A value of each lane, and what comes back.
template <typename T> struct LaneValue {
    T value;
    int lane, operand;
    T result;
};

template <typename T> inline LaneValue<T> &lane_value(void *operand) { return *static_cast<LaneValue<T> *>(operand); }

// source(lane, operand) is the lane whose value is wanted; a lane outside of the mask gives what hardware leaves open.
template <typename T, int (*source)(int, int)> inline T emulated_shuffle(const char *name, unsigned mask, T value,
                                                                          int operand, int width) {
    if (width != 32) emulation::fail("%s of width %d: the emulation knows 32", name, width);
    LaneValue<T> own = {value, static_cast<int>(emulation::lane_number()), operand, value};
    emulation::warp_operation({name, mask, &own, [](void *const operands[32], unsigned) {
        for (int l = 0; l < 32; l++) {
            if (operands[l] == nullptr) continue;
            LaneValue<T> &lane = lane_value<T>(operands[l]);
            int from = source(l, lane.operand);
            if (from < 0 || from > 31) from = l;
            if (operands[from] == nullptr) {
                memset(&lane.result, 0xff, sizeof lane.result);
            } else {
                lane.result = lane_value<T>(operands[from]).value;
            }
        }
    }});
    return own.result;
}

namespace emulation {
inline int lane_given(int, int operand) { return operand & 31; }
inline int lane_above(int lane, int operand) { return lane + operand; }
inline int lane_below(int lane, int operand) { return lane - operand; }
inline int lane_across(int lane, int operand) { return lane ^ operand; }
}  // namespace emulation

template <typename T> inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
    return emulated_shuffle<T, emulation::lane_given>("__shfl_sync", mask, value, lane, width);
}
template <typename T> inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return emulated_shuffle<T, emulation::lane_above>("__shfl_down_sync", mask, value, static_cast<int>(by), width);
}
template <typename T> inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return emulated_shuffle<T, emulation::lane_below>("__shfl_up_sync", mask, value, static_cast<int>(by), width);
}
template <typename T> inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
    return emulated_shuffle<T, emulation::lane_across>("__shfl_xor_sync", mask, value, lanes, width);
}

// All lanes get fold(value, ...) over the lanes of the mask, from start.
template <typename T, T (*fold)(T sum, T value, int lane)>
inline T emulated_reduction(const char *name, unsigned mask, T value, T start) {
    LaneValue<T> own = {value, 0, 0, start};
    emulation::warp_operation({name, mask, &own, [](void *const operands[32], unsigned lanes) {
        T sum = lane_value<T>(operands[__builtin_ctz(lanes)]).result;
        for (int l = 0; l < 32; l++) {
            if (operands[l] != nullptr) sum = fold(sum, lane_value<T>(operands[l]).value, l);
        }
        for (int l = 0; l < 32; l++) {
            if (operands[l] != nullptr) lane_value<T>(operands[l]).result = sum;
        }
    }});
    return own.result;
}

namespace emulation {
inline unsigned add_vote(unsigned sum, unsigned value, int lane) { return sum | (value != 0 ? 1u << lane : 0); }
template <typename T> T add(T sum, T value, int) { return sum + value; }
template <typename T> T smaller(T sum, T value, int) { return value < sum ? value : sum; }
template <typename T> T larger(T sum, T value, int) { return sum < value ? value : sum; }
inline unsigned either(unsigned sum, unsigned value, int) { return sum | value; }
}  // namespace emulation

inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emulated_reduction<unsigned, emulation::either>("__syncwarp", mask, 0u, 0u);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return emulated_reduction<unsigned, emulation::add_vote>("__ballot_sync", mask, predicate != 0 ? 1u : 0u, 0u);
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }
inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
    return emulated_reduction<unsigned, emulation::add<unsigned>>("__reduce_add_sync", mask, value, 0u);
}
inline int __reduce_add_sync(unsigned mask, int value) {
    return emulated_reduction<int, emulation::add<int>>("__reduce_add_sync", mask, value, 0);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
    return emulated_reduction<unsigned, emulation::larger<unsigned>>("__reduce_max_sync", mask, value, value);
}
inline int __reduce_max_sync(unsigned mask, int value) {
    return emulated_reduction<int, emulation::larger<int>>("__reduce_max_sync", mask, value, value);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
    return emulated_reduction<unsigned, emulation::smaller<unsigned>>("__reduce_min_sync", mask, value, value);
}
inline int __reduce_min_sync(unsigned mask, int value) {
    return emulated_reduction<int, emulation::smaller<int>>("__reduce_min_sync", mask, value, value);
}
inline unsigned __match_any_sync(unsigned mask, unsigned value) {
    LaneValue<unsigned> own = {value, 0, 0, 0};
    emulation::warp_operation({"__match_any_sync", mask, &own, [](void *const operands[32], unsigned) {
        for (int l = 0; l < 32; l++) {
            for (int other = 0; operands[l] != nullptr && other < 32; other++) {
                if (operands[other] == nullptr) continue;
                LaneValue<unsigned> &lane = lane_value<unsigned>(operands[l]);
                if (lane_value<unsigned>(operands[other]).value == lane.value) lane.result |= 1u << other;
            }
        }
    }});
    return own.result;
}

// Votes of a whole block.
inline int __syncthreads_count(int predicate) { return emulation::block_vote(predicate != 0); }
inline int __syncthreads_or(int predicate) { return emulation::block_vote(predicate != 0) != 0; }
inline int __syncthreads_and(int predicate) { return emulation::block_vote(predicate == 0) == 0; }

// Atomics: threads switch in barriers and warp operations only, so plain arithmetic is atomic.

template <typename T> inline T atomicAdd(T *at, T value) { T old = *at; *at = old + value; return old; }
template <typename T> inline T atomicMax(T *at, T value) { T old = *at; *at = old < value ? value : old; return old; }
template <typename T> inline T atomicMin(T *at, T value) { T old = *at; *at = value < old ? value : old; return old; }
template <typename T> inline T atomicExch(T *at, T value) { T old = *at; *at = value; return old; }
template <typename T> inline T atomicOr(T *at, T value) { T old = *at; *at = old | value; return old; }
template <typename T> inline T atomicAnd(T *at, T value) { T old = *at; *at = old & value; return old; }
template <typename T> inline T atomicCAS(T *at, T expected, T value) {
    T old = *at;
    if (old == expected) *at = value;
    return old;
}
inline unsigned atomicInc(unsigned *at, unsigned last) {
    unsigned old = *at;
    *at = old >= last ? 0 : old + 1;
    return old;
}
