// Tiles of products of bytes_body.h over product_body.h: up to 12 rows by 32 outputs in registers, four inputs a step.

INLINE void
bytes_tile(
    int rows, const char *a, size_t a_bytes, const char *panel, int32_t inputs, mr_ahead ahead, float *out) {
    const int32_t steps = (int32_t)(mr_byte_inputs(inputs) / 4);
    const char *tail = panel + (size_t)steps * MR_PANEL * 4, *w[MAX_COLUMNS];
    vf sums[MAX_ROWS][MAX_COLUMNS];
#pragma clang loop unroll(full)
    for (int c = 0; c < MAX_COLUMNS; c++) {
        w[c] = panel + (size_t)c * LANES * 4;
        vf offset = (vf)w_load(tail + (size_t)c * LANES * 4);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) sums[r][c] = offset;
    }
    product(BYTES, rows, MAX_COLUMNS, sums, a + MR_BYTE_HEADER, a_bytes, w, MR_PANEL * 4, steps, ahead);
    const char *scales = tail + MR_PANEL * 4;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        vf scale = broadcast(a + (size_t)r * a_bytes);
#pragma clang loop unroll(full)
        for (int c = 0; c < MAX_COLUMNS; c++) {
            vf value = scaled_sums((vi)sums[r][c], scale, scales + c * LANES * 4);
            v_store(out + r * MR_PANEL + c * LANES, value);
        }
    }
}

static void
tile_bytes(
    const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out) {
#define RUN(n) bytes_tile(n, a, a_bytes, panel, inputs, ahead, out)
    MR_CONSTANT_ROWS_12(rows, RUN)
#undef RUN
}
