// Sixteen floats, and dot products of pairs of bfloat16.
#pragma once
#include "vector_avx512.h"
#define MR_PAIRS

// sum + a.low * b.low + a.high * b.high in each lane.
INLINE vf v_dot(vf sum, vf a, vi b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
INLINE vi v_round_pairs(vf first, vf second) { return (vi)_mm512_cvtne2ps_pbh(second, first); }
// Words of two bfloat16.
INLINE vi v_pair(vf first, vf second) {
    const vi order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
        16, 0);
    return _mm512_permutexvar_epi16(order, v_round_pairs(first, second));
}
// Writes 16 bfloat16.
INLINE void v_store_rounded(void *p, vf a) { _mm256_storeu_si256(p, (__m256i)_mm512_cvtneps_pbh(a)); }

// target: pairs of bfloat16, with a zero up to an even count.
INLINE void v_round_row(const float *x, int32_t count, char *target) {
    int32_t i = 0;
    for (; i + 32 <= count; i += 32, target += 64) {
        _mm512_storeu_si512(target, v_round_pairs(v_load(x + i), v_load(x + i + 16)));
    }
    int32_t left = count - i;
    if (left == 0) return;
    vf first = left < 16 ? v_load_first(x + i, left) : v_load(x + i);
    vf second = left > 16 ? v_load_first(x + i + 16, left - 16) : v_zero();
    __mmask32 stored = (__mmask32)((1ull << ((left + 1) & ~1)) - 1);
    _mm512_mask_storeu_epi16(target, stored, v_round_pairs(first, second));
}
