// Products of bytes: rows of unsigned ones (inputs, 128 added) times signed ones (weights). Within a group of inputs
// sums are exact integers; groups are added up in float32, in their order, each with the scales of its row and its
// output. So results are the same on every instruction set. Layouts: bytes.h; the scalar reference: bytes_scalar.c.
#include "bytes.h"
#include "numbers.h"

// Rounds up to MR_GROUP values of one group to bytes; returns their scale.
INLINE float quantize_group(const float *x, int32_t count, uint8_t *bytes) {
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
    float largest = v_maximum(most);
    vf factor = v_set(mr_byte_inverse(largest));
    for (i = 0; i + LANES <= count; i += LANES) v_store_bytes(bytes + i, v_mul(v_load(x + i), factor));
    if (i < count) {
        uint8_t last[LANES];
        v_store_bytes(last, v_mul(v_load_first(x + i, count - i), factor));
        memcpy(bytes + i, last, (size_t)((count + 3) / 4 * 4 - i));
    }
    return largest / 127 + v_sum(strange);
}

static void quantize_inputs(const float *x, int32_t count, void *target) {
    float *scales = target;
    uint8_t *bytes = (uint8_t *)target + mr_bytes_header(count);
    for (int32_t at = 0; at < count; at += MR_GROUP) {
        int32_t left = count - at;
        *scales++ = quantize_group(x + at, left < MR_GROUP ? left : MR_GROUP, bytes + at);
    }
}

INLINE void
bytes_tile(int rows, const char *a, size_t a_bytes, const char *panel, int32_t inputs, float *out) {
    vf totals[MAX_ROWS][MAX_COLUMNS];
    const char *bytes = a + mr_bytes_header(inputs);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < MAX_COLUMNS; c++) totals[r][c] = v_zero();
    }
    for (int32_t at = 0; at < inputs; at += MR_GROUP, a += 4, bytes += MR_GROUP) {
        int32_t steps = (inputs - at < MR_GROUP ? inputs - at + 3 : MR_GROUP) / 4;
        const char *tail = panel + (size_t)steps * MR_PANEL * 4;
        vf sums[MAX_ROWS][MAX_COLUMNS];
        const char *w[MAX_COLUMNS];
#pragma clang loop unroll(full)
        for (int c = 0; c < MAX_COLUMNS; c++) {
            w[c] = panel + (size_t)c * LANES * 4;
            vf offset = (vf)w_load(tail + (size_t)c * LANES * 4);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) sums[r][c] = offset;
        }
        product(BYTES, rows, MAX_COLUMNS, sums, bytes, a_bytes, w, MR_PANEL * 4, steps);
#pragma clang loop unroll(full)
        for (int c = 0; c < MAX_COLUMNS; c++) {
            vf scales = (vf)w_load(tail + (size_t)(MR_PANEL + c * LANES) * 4);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) {
                vf scale = v_mul(broadcast(a + (size_t)r * a_bytes), scales);
                totals[r][c] = v_fma(w_to_float((vi)sums[r][c]), scale, totals[r][c]);
            }
        }
        panel = tail + 2 * MR_PANEL * 4;
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int c = 0; c < MAX_COLUMNS; c++) v_store(out + r * MR_PANEL + c * LANES, totals[r][c]);
    }
}

static void
tile_bytes(const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, float *out) {
#define RUN(n) bytes_tile(n, a, a_bytes, panel, inputs, out)
    MR_CONSTANT_ROWS_6(rows, RUN)
#undef RUN
}
