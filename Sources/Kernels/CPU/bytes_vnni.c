// Products of bytes by vpdpbusd: 6 rows x 32 outputs in registers, twice (sums of a group, and of all), four
// inputs a step.
#include "engine.h"
#include "x86.h"
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_VNNI))), apply_to = function)
#include "vector_avx512.h"
enum { MAX_ROWS = 6, MAX_COLUMNS = 2 };
#define MR_BYTES
// sum + a · b over the four bytes of each lane; those of a are unsigned. Never saturates.
INLINE vf v_dot_bytes(vf sum, vf a, vi b) { return (vf)_mm512_dpbusd_epi32((vi)sum, (vi)a, b); }
// 16 floats of -127...127 to nearest, 128 added.
INLINE void v_store_bytes(uint8_t *p, vf a) {
    vi whole = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(128));
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(whole));
}
INLINE vf w_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
#include "product_body.h"
#include "bytes_body.h"
#pragma clang attribute pop

void mr_bytes_vnni(mr_kernels *kernels) {
    kernels->quantize_inputs = quantize_inputs;
    kernels->products[MR_INT8] = (mr_tile_product){MAX_ROWS, 1, tile_bytes};
}
#endif
