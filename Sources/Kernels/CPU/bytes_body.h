// Products of bytes: rows of unsigned ones (inputs, 128 added) times signed ones (weights), summed exactly in 32-bit
// integers. That makes results the same on every instruction set, and independent of any order. Layouts: matrix.c and
// numbers.h; the scalar reference is bytes_scalar.c.
#include "numbers.h"

// Rounds one row to bytes: x / scale to nearest, scale = max |x| / 127.
static void quantize_inputs(const float *x, int32_t count, void *target) {
    vf most = v_zero(), strange = v_zero();
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf value = v_load(x + i);
        most = v_max(v_abs(value), most);
        // NaN where a value is NaN or infinite.
        strange = v_fma(value, v_zero(), strange);
    }
    if (i < count) {
        vf value = v_load_first(x + i, count - i);
        most = v_max(v_abs(value), most);
        strange = v_fma(value, v_zero(), strange);
    }
    float largest = v_maximum(most), inverse = mr_byte_inverse(largest);
    *(float *)target = largest / 127 + v_sum(strange);
    uint8_t *bytes = (uint8_t *)target + MR_BYTES_HEADER;
    vf factor = v_set(inverse);
    for (i = 0; i + LANES <= count; i += LANES) v_store_bytes(bytes + i, v_mul(v_load(x + i), factor));
    int32_t left = count - i, padded = (count + 3) / 4 * 4 - i;
    if (left > 0) {
        uint8_t last[LANES];
        v_store_bytes(last, v_mul(v_load_first(x + i, left), factor));
        memcpy(bytes + i, last, (size_t)padded);
    }
}

INLINE void bytes_tile(int rows, const char *a, size_t a_bytes, const char *panel, int32_t steps, float *out) {
    vf sums[MAX_ROWS][MAX_COLUMNS];
    const char *w[MAX_COLUMNS], *tail = panel + (size_t)steps * MR_PANEL * 4;
#pragma clang loop unroll(full)
    for (int c = 0; c < MAX_COLUMNS; c++) {
        w[c] = panel + (size_t)c * LANES * 4;
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) sums[r][c] = v_zero();
    }
    product(BYTES, rows, MAX_COLUMNS, sums, a + MR_BYTES_HEADER, a_bytes, w, MR_PANEL * 4, steps);
#pragma clang loop unroll(full)
    for (int c = 0; c < MAX_COLUMNS; c++) {
        vi offsets = w_load(tail + (size_t)c * LANES * 4);
        vf scales = (vf)w_load(tail + (size_t)(MR_PANEL + c * LANES) * 4);
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) {
            vf sum = w_to_float(w_subtract((vi)sums[r][c], offsets));
            vf scale = v_mul(v_set(*(const float *)(const void *)(a + (size_t)r * a_bytes)), scales);
            v_store(out + r * MR_PANEL + c * LANES, v_mul(sum, scale));
        }
    }
}

static void
tile_bytes(const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, float *out) {
#define RUN(n) bytes_tile(n, a, a_bytes, panel, (inputs + 3) / 4, out)
    MR_CONSTANT_TILE_ROWS(rows, RUN)
#undef RUN
}
