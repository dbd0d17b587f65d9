// Matrix tiles by tdpbf16ps: 32 rows x 32 outputs in four registers, 32 inputs a step.
#include "tiles.h"
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AMX))), apply_to = function)
#include "vector_avx512bf16.h"

enum {
    STEP_BYTES = MR_TILE_PAIRS * 4, // of a row of inputs
    PANEL_LINE = MR_PANEL * 4,
    PANEL_STEP = MR_TILE_PAIRS * PANEL_LINE,
    OUT_LINE = MR_PANEL * 4,
};

INLINE void use_products(void) {
    if (mr_tiles_now == &mr_tiles_of_products) return;
    TILE_LAYOUT(&mr_tiles_of_products);
    mr_tiles_now = &mr_tiles_of_products;
}

static void up_to_16_rows(const char *a, size_t a_bytes, const char *panel, int32_t steps, float *out) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    for (int32_t s = 0; s < steps; s++, a += STEP_BYTES, panel += PANEL_STEP) {
        TILE_LOAD(4, a, a_bytes);
        TILE_LOAD(6, panel, PANEL_LINE);
        TILE_MULTIPLY(0, 4, 6);
        TILE_LOAD(7, panel + MR_TILE_LINE, PANEL_LINE);
        TILE_MULTIPLY(1, 4, 7);
    }
    TILE_STORE(0, out, OUT_LINE);
    TILE_STORE(1, out + 16, OUT_LINE);
}

static void up_to_32_rows(const char *a, size_t a_bytes, const char *panel, int32_t steps, float *out) {
    const char *lower = a + MR_TILE_HEIGHT * a_bytes;
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int32_t s = 0; s < steps; s++, a += STEP_BYTES, lower += STEP_BYTES, panel += PANEL_STEP) {
        TILE_LOAD(4, a, a_bytes);
        TILE_LOAD(6, panel, PANEL_LINE);
        TILE_MULTIPLY(0, 4, 6);
        TILE_LOAD(7, panel + MR_TILE_LINE, PANEL_LINE);
        TILE_MULTIPLY(1, 4, 7);
        TILE_LOAD(5, lower, a_bytes);
        TILE_MULTIPLY(2, 5, 6);
        TILE_MULTIPLY(3, 5, 7);
    }
    TILE_STORE(0, out, OUT_LINE);
    TILE_STORE(1, out + 16, OUT_LINE);
    TILE_STORE(2, out + MR_TILE_HEIGHT * MR_PANEL, OUT_LINE);
    TILE_STORE(3, out + MR_TILE_HEIGHT * MR_PANEL + 16, OUT_LINE);
}

static void
tile_bf16(const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, float *out) {
    use_products();
    int32_t steps = (inputs + 2 * MR_TILE_PAIRS - 1) / (2 * MR_TILE_PAIRS);
    if (rows > MR_TILE_HEIGHT)
        up_to_32_rows(a, a_bytes, panel, steps, out);
    else
        up_to_16_rows(a, a_bytes, panel, steps, out);
}

// Zero up to whole steps, as panels are.
static void round_inputs(const float *x, int32_t count, void *target) {
    size_t bytes = (size_t)(count + 1) / 2 * 4;
    v_round_row(x, count, target);
    memset((char *)target + bytes, 0, (STEP_BYTES - bytes % STEP_BYTES) % STEP_BYTES);
}

// Four products that depend on nothing but their own sums.
static double peak_bf16(int64_t steps) {
    use_products();
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_ZERO(4);
    TILE_ZERO(5);
    TILE_ZERO(6);
    TILE_ZERO(7);
    for (int64_t s = 0; s < steps; s++) {
        TILE_MULTIPLY(0, 4, 6);
        TILE_MULTIPLY(1, 4, 7);
        TILE_MULTIPLY(2, 5, 6);
        TILE_MULTIPLY(3, 5, 7);
    }
    return 4.0 * 2 * MR_TILE_HEIGHT * 16 * 2 * MR_TILE_PAIRS;
}
#pragma clang attribute pop

void mr_gemm_amx(mr_kernels *kernels) {
    kernels->round_inputs = round_inputs;
    kernels->products[MR_BFLOAT16] = (mr_tile_product){2 * MR_TILE_HEIGHT, MR_TILE_HEIGHT, tile_bf16};
    kernels->peak_bf16 = peak_bf16;
}
#endif
