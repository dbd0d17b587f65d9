// Matrix tiles over product_body.h: weights of bfloat16 in MATRIX_KIND steps, and float32 ones if
// MR_FLOAT_TILES.

// MAX_TILE_ROWS x TILE_COLUMNS vectors of sums in registers; as many passes over the rows as the panel is
// wide.
INLINE void
gemm_tile(
    int kind, int rows, const char *a, size_t a_bytes, const char *panel, int32_t steps, mr_ahead ahead, float *out) {
    for (int32_t n = 0; n < MR_PANEL; n += TILE_COLUMNS * LANES) {
        vf sums[MAX_ROWS][MAX_COLUMNS];
        const char *w[MAX_COLUMNS];
#pragma clang loop unroll(full)
        for (int c = 0; c < TILE_COLUMNS; c++) {
            w[c] = panel + (size_t)(n + c * LANES) * 4;
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) sums[r][c] = v_zero();
        }
        product(kind, rows, TILE_COLUMNS, sums, a, a_bytes, w, MR_PANEL * 4, steps, n == 0 ? ahead : NOTHING_AHEAD);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
            for (int c = 0; c < TILE_COLUMNS; c++) v_store(out + r * MR_PANEL + n + c * LANES, sums[r][c]);
        }
    }
}

#ifdef MR_FLOAT_TILES
static void
tile_f32(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
#define RUN(n) gemm_tile(FLOATS, n, a, a_bytes, panel, inputs, ahead, out)
    MR_CONSTANT_TILE_ROWS(rows, RUN)
#undef RUN
}
#endif

static void
tile_bf16(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
#define RUN(n) gemm_tile(MATRIX_KIND, n, a, a_bytes, panel, (inputs + 1) / 2, ahead, out)
    MR_CONSTANT_TILE_ROWS(rows, RUN)
#undef RUN
}
