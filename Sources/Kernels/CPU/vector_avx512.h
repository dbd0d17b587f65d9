// Sixteen floats: what the kernel bodies (*_body.h) are written over, by AVX-512. Include within a target
// region.
#pragma once
#include "x86.h"
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
enum { LANES = 16 };
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

INLINE vm v_first(int32_t count) { return (vm)((1u << count) - 1); }
INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
// The first `count` (0 to 15) values; the others are 0.
INLINE vf v_load_first(const float *p, int32_t count) { return _mm512_maskz_loadu_ps(v_first(count), p); }
INLINE void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE void v_store_first(float *p, vf a, int32_t count) { _mm512_mask_storeu_ps(p, v_first(count), a); }
INLINE vf v_set(float a) { return _mm512_set1_ps(a); }
INLINE vf v_zero(void) { return _mm512_setzero_ps(); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
// Where a value is NaN, b.
INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf v_abs(vf a) { return _mm512_abs_ps(a); }
// |a| with b's sign
INLINE vf v_copy_sign(vf a, vf b) {
    __m512 sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b));
}
// a * 2^n for whole n; overflows to infinity, underflows gradually.
INLINE vf v_scale(vf a, vf n) { return _mm512_scalef_ps(a, n); }
INLINE vm v_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vm v_at_least(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
INLINE vf v_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
// Bit i: lane i.
INLINE uint32_t v_bits(vm m) { return m; }
INLINE float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
INLINE float v_maximum(vf a) { return _mm512_reduce_max_ps(a); }
// Sum of the lanes in double.
INLINE double v_sum_double(vf a) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a));
    __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

INLINE vi w_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE vi w_set(uint32_t a) { return _mm512_set1_epi32((int32_t)a); }
INLINE vi w_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE void w_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
INLINE vi w_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi w_or(vi a, vi b) { return _mm512_or_si512(a, b); }
INLINE vi w_down(vi a, int bits) { return _mm512_srli_epi32(a, (unsigned)bits); }
INLINE vf v_load_bytes(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
// One of 16 numbers by the lowest 4 bits of each word.
typedef vf v_choice;
INLINE v_choice v_choice_of(const float *numbers) { return v_load(numbers); }
INLINE vf v_choose(v_choice choice, vi index) { return _mm512_permutexvar_ps(index, choice); }
INLINE vf w_float(vi a) { return (vf)a; }
// The first (low) and second bfloat16 of each word as float32.
INLINE vf w_low(vi a) { return (vf)_mm512_slli_epi32(a, 16); }
INLINE vf w_high(vi a) { return (vf)_mm512_and_si512(a, _mm512_set1_epi32((int32_t)0xffff0000u)); }
