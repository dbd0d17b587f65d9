// Sixteen floats, and products and roundings of bytes.
#pragma once
#include "vector_avx512.h"
#define MR_BYTES

// sum + a · b over the four bytes of each lane; those of a are unsigned. Never saturates.
INLINE vf v_dot_bytes(vf sum, vf a, vi b) { return (vf)_mm512_dpbusd_epi32((vi)sum, (vi)a, b); }
// 16 floats of -127...127 to nearest, 128 added.
INLINE void v_store_bytes(uint8_t *p, vf a) {
    vi whole = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(128));
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(whole));
}
INLINE vf w_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
// out = sums * (the row's scale * the output's).
INLINE vf scaled_sums(vi sums, vf row_scale, const char *scales) {
    return v_mul(w_to_float(sums), v_mul(row_scale, (vf)w_load(scales)));
}

// Lane i gets lane i ^ distance; distance is 1, 2, 4 or 8.
INLINE vf v_exchange(vf a, int distance) {
    switch (distance) {
    case 1: return _mm512_permute_ps(a, 0xb1);
    case 2: return _mm512_permute_ps(a, 0x4e);
    case 4: return _mm512_shuffle_f32x4(a, a, 0xb1);
    default: return _mm512_shuffle_f32x4(a, a, 0x4e);
    }
}
// 1 in lanes i where i & distance is 0, -1 in the others.
INLINE vf v_signs(int distance) {
    __mmask16 minus = distance == 1 ? 0xaaaa : distance == 2 ? 0xcccc : distance == 4 ? 0xf0f0 : 0xff00;
    return _mm512_mask_blend_ps(minus, _mm512_set1_ps(1), _mm512_set1_ps(-1));
}
