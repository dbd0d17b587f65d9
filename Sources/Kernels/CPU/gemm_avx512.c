// Matrix tiles by AVX-512 FMA: 12 rows x 32 outputs in registers. bfloat16 weights are widened in registers.
#include "stored.h"
#include "x86.h"
#include <math.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AVX512))), apply_to = function)
#include "vector_avx512.h"
#include "functions_body.h"
enum { MAX_ROWS = 12, MAX_COLUMNS = 2, TILE_COLUMNS = 2 };
#include "product_body.h"
#define MATRIX_KIND WIDENED
#define MR_FLOAT_TILES
#define MR_CONSTANT_TILE_ROWS MR_CONSTANT_ROWS_12
#include "gemm_body.h"
#include "output_body.h"
#include "peaks_body.h"
#include "stored_body.h"
#pragma clang attribute pop

void mr_gemm_avx512(mr_kernels *kernels) {
    kernels->products[MR_FLOAT32] = (mr_tile_product){MAX_ROWS, 1, MR_BLOCK_BYTES, MR_PIECE, tile_f32};
    kernels->products[MR_BFLOAT16] = (mr_tile_product){MAX_ROWS, 1, MR_BLOCK_BYTES, MR_PIECE, tile_bf16};
    kernels->finish = finish;
    kernels->gate = gate;
    kernels->peaks[MR_FLOAT32] = peak_f32;
    kernels->peak_read = peak_read;
    kernels->widen = widen;
    kernels->multiply_stored = multiply_stored;
}
#endif
