// Matrix tiles by vdpbf16ps: 12 rows x 32 outputs in registers, two inputs a step.
#include "stored.h"
#include "x86.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AVX512BF16))), apply_to = function)
#include "vector_avx512bf16.h"
enum { MAX_ROWS = 12, MAX_COLUMNS = 2, TILE_COLUMNS = 2 };
#include "product_body.h"
#define MATRIX_KIND PAIRS
#define MR_CONSTANT_TILE_ROWS MR_CONSTANT_ROWS_12
#include "gemm_body.h"
#include "peaks_body.h"
#include "stored_body.h"

static void round_inputs(const float *x, int32_t count, void *target) { v_round_row(x, count, target); }
static void to_bf16(const float *x, int32_t count, uint16_t *target) {
    v_round_row(x, count, (char *)target);
}
#pragma clang attribute pop

void mr_gemm_avx512bf16(mr_kernels *kernels) {
    kernels->bf16_input_bytes = 2;
    kernels->round_inputs = round_inputs;
    kernels->to_bf16 = to_bf16;
    kernels->products[MR_BFLOAT16] = (mr_tile_product){MAX_ROWS, 1, MR_BLOCK_BYTES, MR_PIECE, tile_bf16};
    kernels->peaks[MR_FLOAT32] = peak_f32;
    kernels->peaks[MR_BFLOAT16] = peak_bf16;
    kernels->peak_read = peak_read;
    kernels->widen = widen;
    kernels->multiply_stored = multiply_stored;
}
#endif
