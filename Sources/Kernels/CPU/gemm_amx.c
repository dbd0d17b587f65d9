// Matrix tiles by tdpbf16ps and tdpbusd: 32 rows x 32 outputs in four registers, a step of 32 bfloat16 or 64 bytes.
#include "tiles.h"
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_AMX))), apply_to = function)
#include "vector_avx512bf16.h"
#include "vector_vnni.h"
#include "bytes.h"

enum { PAIRS, BYTES }; // what a row's words hold: two bfloat16, or four bytes

#define MULTIPLY(kind, c, a, b)                                                                              \
    do {                                                                                                     \
        if (kind == BYTES)                                                                                   \
            TILE_MULTIPLY_BYTES(c, a, b);                                                                    \
        else                                                                                                 \
            TILE_MULTIPLY(c, a, b);                                                                          \
    } while (0)

enum {
    STEP_BYTES = MR_TILE_LINE, // of a row of inputs
    PANEL_LINE = MR_PANEL * 4,
    PANEL_STEP = MR_TILE_PAIRS * PANEL_LINE,
    OUT_LINE = MR_PANEL * 4,
    BLOCK_BYTES = 1024 * 1024, // CPUs with tiles have 2 MB of second-level cache a core
    PIECE = 16 << 20, // of bfloat16; twice as many of bytes
    ROWS = 2 * MR_TILE_HEIGHT,
};

// One step's share of what lies ahead.
INLINE void fetch(mr_ahead *ahead, int32_t lines) {
    for (int32_t i = 0; i < lines; i++, ahead->from += 64) __builtin_prefetch(ahead->from, 0, 2);
}

INLINE void up_to_16_rows(
    int kind, const char *a, size_t a_bytes, const char *panel, int32_t steps, mr_ahead ahead, void *out) {
    const int32_t fetched = (ahead.lines + steps - 1) / steps;
    TILE_ZERO(0);
    TILE_ZERO(1);
    for (int32_t s = 0; s < steps; s++, a += STEP_BYTES, panel += PANEL_STEP) {
        fetch(&ahead, fetched);
        TILE_LOAD(4, a, a_bytes);
        TILE_LOAD(6, panel, PANEL_LINE);
        MULTIPLY(kind, 0, 4, 6);
        TILE_LOAD(7, panel + MR_TILE_LINE, PANEL_LINE);
        MULTIPLY(kind, 1, 4, 7);
    }
    TILE_STORE(0, out, OUT_LINE);
    TILE_STORE(1, (char *)out + MR_TILE_LINE, OUT_LINE);
}

INLINE void up_to_32_rows(
    int kind, const char *a, size_t a_bytes, const char *panel, int32_t steps, mr_ahead ahead, void *out) {
    const int32_t fetched = (ahead.lines + steps - 1) / steps;
    const char *lower = a + MR_TILE_HEIGHT * a_bytes;
    char *lower_out = (char *)out + MR_TILE_HEIGHT * OUT_LINE;
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int32_t s = 0; s < steps; s++, a += STEP_BYTES, lower += STEP_BYTES, panel += PANEL_STEP) {
        fetch(&ahead, fetched);
        TILE_LOAD(4, a, a_bytes);
        TILE_LOAD(6, panel, PANEL_LINE);
        MULTIPLY(kind, 0, 4, 6);
        TILE_LOAD(7, panel + MR_TILE_LINE, PANEL_LINE);
        MULTIPLY(kind, 1, 4, 7);
        TILE_LOAD(5, lower, a_bytes);
        MULTIPLY(kind, 2, 5, 6);
        MULTIPLY(kind, 3, 5, 7);
    }
    TILE_STORE(0, out, OUT_LINE);
    TILE_STORE(1, (char *)out + MR_TILE_LINE, OUT_LINE);
    TILE_STORE(2, lower_out, OUT_LINE);
    TILE_STORE(3, lower_out + MR_TILE_LINE, OUT_LINE);
}

INLINE void multiply_tiles(
    int kind, const char *a, size_t a_bytes, int32_t rows, const char *panel, size_t input_bytes, mr_ahead ahead,
    void *out) {
    int32_t steps = (int32_t)((input_bytes + STEP_BYTES - 1) / STEP_BYTES);
    USE_TILES(&mr_tiles_of_products);
    if (rows > MR_TILE_HEIGHT)
        up_to_32_rows(kind, a, a_bytes, panel, steps, ahead, out);
    else
        up_to_16_rows(kind, a, a_bytes, panel, steps, ahead, out);
}

static void
tile_bf16(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
    multiply_tiles(PAIRS, a, a_bytes, rows, panel, (size_t)inputs * 2, ahead, out);
}

// Sums of whole numbers come to lie where the result does, and are then scaled in place.
static void
tile_bytes(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
    const char *tail = (const char *)panel + mr_byte_inputs(inputs) * MR_PANEL, *row = a;
    multiply_tiles(BYTES, row + MR_BYTE_HEADER, a_bytes, rows, panel, (size_t)inputs, ahead, out);
    for (int32_t r = 0; r < rows; r++, row += a_bytes, out += MR_PANEL) {
        vf scale = v_set(*(const float *)(const void *)row);
#pragma clang loop unroll(full)
        for (int n = 0; n < MR_PANEL; n += LANES) {
            vi sums = _mm512_add_epi32(w_load(out + n), w_load(tail + n * 4));
            v_store(out + n, scaled_sums(sums, scale, tail + (MR_PANEL + n) * 4));
        }
    }
}

// Zero up to whole steps, as panels are.
static void round_inputs(const float *x, int32_t count, void *target) {
    size_t bytes = (size_t)(count + 1) / 2 * 4;
    v_round_row(x, count, target);
    memset((char *)target + bytes, 0, (STEP_BYTES - bytes % STEP_BYTES) % STEP_BYTES);
}

// Four products that depend on nothing but their own sums.
INLINE double run_peak(int kind, int64_t steps) {
    USE_TILES(&mr_tiles_of_products);
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_ZERO(4);
    TILE_ZERO(5);
    TILE_ZERO(6);
    TILE_ZERO(7);
    for (int64_t s = 0; s < steps; s++) {
        MULTIPLY(kind, 0, 4, 6);
        MULTIPLY(kind, 1, 4, 7);
        MULTIPLY(kind, 2, 5, 6);
        MULTIPLY(kind, 3, 5, 7);
    }
    return 4.0 * 2 * MR_TILE_HEIGHT * 16 * (kind == BYTES ? MR_TILE_LINE : 2 * MR_TILE_PAIRS);
}

static double peak_bf16(int64_t steps) { return run_peak(PAIRS, steps); }
static double peak_bytes(int64_t steps) { return run_peak(BYTES, steps); }
#pragma clang attribute pop

void mr_gemm_amx(mr_kernels *kernels) {
    kernels->round_inputs = round_inputs;
    kernels->multiply_stored = NULL; // tiles add in another order
    kernels->products[MR_BFLOAT16] = (mr_tile_product){ROWS, MR_TILE_HEIGHT, BLOCK_BYTES, PIECE, tile_bf16};
    kernels->products[MR_INT8] = (mr_tile_product){ROWS, MR_TILE_HEIGHT, BLOCK_BYTES, 2 * PIECE, tile_bytes};
    kernels->peaks[MR_BFLOAT16] = peak_bf16;
    kernels->peaks[MR_INT8] = peak_bytes;
}
#endif
