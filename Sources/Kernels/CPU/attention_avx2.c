// Attention by AVX2 FMA.
#include "engine.h"
#include "x86.h"
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AVX2))), apply_to = function)
#include "vector_avx2.h"
#include "functions_body.h"
enum { MAX_ROWS = 6, MAX_COLUMNS = 2, SCORE_SPANS = 1, OUTPUT_COLUMNS = 2 };
#define MATRIX_KIND WIDENED
#define MR_FLOAT_TILES
#include "product_body.h"
#include "attention_body.h"
#include "attention_product_body.h"
#include "widen_body.h"

static void attend_f32(const mr_attention_tile *tile) { attend(tile, FLOATS); }
static void attend_bf16(const mr_attention_tile *tile) { attend(tile, MATRIX_KIND); }
#pragma clang attribute pop

void mr_attention_avx2(mr_kernels *kernels) {
    kernels->attend_f32 = attend_f32;
    kernels->attend_bf16 = attend_bf16;
    kernels->widen_keys = widen_keys;
    kernels->widen_values = widen_values;
}
#endif
