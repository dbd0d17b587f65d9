// Eight floats: what the kernel bodies (*_body.h) are written over, by AVX2 and FMA. Include within a target
// region.
#include "x86.h"
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))
enum { LANES = 8 };
typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vm;

INLINE vm v_first(int32_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
// The first `count` (0 to 7) values; the others are 0.
INLINE vf v_load_first(const float *p, int32_t count) { return _mm256_maskload_ps(p, v_first(count)); }
INLINE void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
INLINE void v_store_first(float *p, vf a, int32_t count) { _mm256_maskstore_ps(p, v_first(count), a); }
INLINE vf v_set(float a) { return _mm256_set1_ps(a); }
INLINE vf v_zero(void) { return _mm256_setzero_ps(); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
INLINE vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
INLINE vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
INLINE vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
// Where a value is NaN, b.
INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
// |a| with b's sign
INLINE vf v_copy_sign(vf a, vf b) {
    __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}
// a * 2^n for whole n in -252...252, in two factors so that results may be subnormal or infinite.
INLINE vf v_scale(vf a, vf n) {
    vi whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    vi rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    vf first = (vf)_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, first), (vf)_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
}
INLINE vm v_less(vf a, vf b) { return (vm)_mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vm v_at_least(vf a, vf b) { return (vm)_mm256_cmp_ps(a, b, _CMP_GE_OQ); }
INLINE vf v_select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, (vf)m); }
// Bit i: lane i.
INLINE uint32_t v_bits(vm m) { return (uint32_t)_mm256_movemask_ps((vf)m); }
INLINE float v_sum(vf a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE float v_maximum(vf a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
// Sum of the lanes in double.
INLINE double v_sum_double(vf a) {
    __m256d s = _mm256_add_pd(
        _mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)));
    __m128d half = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

INLINE vi w_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vi w_set(uint32_t a) { return _mm256_set1_epi32((int32_t)a); }
INLINE vi w_and(vi a, vi b) { return _mm256_and_si256(a, b); }
INLINE void w_store(void *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
INLINE vi w_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
INLINE vi w_or(vi a, vi b) { return _mm256_or_si256(a, b); }
INLINE vi w_down(vi a, int bits) { return _mm256_srli_epi32(a, bits); }
INLINE vf v_load_bytes(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
// One of 16 numbers by the lowest 4 bits of each word.
typedef struct {
    vf low, high;
} v_choice;
INLINE v_choice v_choice_of(const float *numbers) { return (v_choice){v_load(numbers), v_load(numbers + 8)}; }
INLINE vf v_choose(v_choice choice, vi index) {
    vf low = _mm256_permutevar8x32_ps(choice.low, index), high = _mm256_permutevar8x32_ps(choice.high, index);
    return _mm256_blendv_ps(low, high, (vf)_mm256_slli_epi32(index, 28));
}
INLINE vf w_float(vi a) { return (vf)a; }
// The first (low) and second bfloat16 of each word as float32.
INLINE vf w_low(vi a) { return (vf)_mm256_slli_epi32(a, 16); }
INLINE vf w_high(vi a) { return (vf)_mm256_and_si256(a, _mm256_set1_epi32((int32_t)0xffff0000u)); }
