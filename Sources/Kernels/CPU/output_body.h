// What becomes of a matrix tile: bias, residual, cap or gate, over functions_body.h.

INLINE vf finish_vector(vf value, vf bias, vf start, float cap) {
    value = v_add(v_add(value, bias), start);
    return cap > 0 ? v_mul(v_set(cap), v_tanh(v_div(value, v_set(cap)))) : value;
}

static void
finish(const float *tile, int32_t rows, int32_t width, const mr_finish *how, float *y, ptrdiff_t stride) {
    const float *bias = how->bias;
    for (int32_t r = 0; r < rows; r++, tile += MR_PANEL, y += stride) {
        int32_t n = 0;
        for (; n + LANES <= width; n += LANES) {
            vf b = bias != NULL ? v_load(bias + n) : v_zero(),
               start = how->accumulate ? v_load(y + n) : v_zero();
            v_store(y + n, finish_vector(v_load(tile + n), b, start, how->cap));
        }
        int32_t left = width - n;
        if (left == 0) continue;
        vf b = bias != NULL ? v_load_first(bias + n, left) : v_zero();
        vf start = how->accumulate ? v_load_first(y + n, left) : v_zero();
        v_store_first(y + n, finish_vector(v_load_first(tile + n, left), b, start, how->cap), left);
    }
}

INLINE void gate_rows(
    mr_function function, const float *gate, const float *up, int32_t rows, int32_t width,
    const float *gate_bias, const float *up_bias, float *y, ptrdiff_t stride) {
    for (int32_t r = 0; r < rows; r++, gate += MR_PANEL, up += MR_PANEL, y += stride) {
        int32_t n = 0;
        for (; n + LANES <= width; n += LANES) {
            vf g = v_load(gate + n), u = v_load(up + n);
            if (gate_bias != NULL) g = v_add(g, v_load(gate_bias + n));
            if (up_bias != NULL) u = v_add(u, v_load(up_bias + n));
            v_store(y + n, v_mul(v_apply(function, g), u));
        }
        int32_t left = width - n;
        if (left == 0) continue;
        vf g = v_load_first(gate + n, left), u = v_load_first(up + n, left);
        if (gate_bias != NULL) g = v_add(g, v_load_first(gate_bias + n, left));
        if (up_bias != NULL) u = v_add(u, v_load_first(up_bias + n, left));
        v_store_first(y + n, v_mul(v_apply(function, g), u), left);
    }
}

static void gate(
    const float *gate, const float *up, int32_t rows, int32_t width, const float *gate_bias,
    const float *up_bias, mr_function function, float *y, ptrdiff_t stride) {
#define RUN(f) gate_rows(f, gate, up, rows, width, gate_bias, up_bias, y, stride)
    switch (function) {
    case MR_SILU: RUN(MR_SILU); break;
    case MR_GELU_TANH: RUN(MR_GELU_TANH); break;
    case MR_GELU: RUN(MR_GELU); break;
    case MR_RELU: RUN(MR_RELU); break;
    }
#undef RUN
}
