// Norms and element-wise operations on one row, over the vectors of vector_*.h and functions_body.h.
#pragma STDC FP_CONTRACT OFF

// Sum of (x - mean)^2, in four partial vectors.
INLINE float sum_squares(const float *x, float mean, int32_t width) {
    vf sums[4] = {v_zero(), v_zero(), v_zero(), v_zero()}, center = v_set(mean);
    int32_t i = 0;
    for (; i + 4 * LANES <= width; i += 4 * LANES) {
        for (int32_t j = 0; j < 4; j++) {
            vf value = v_sub(v_load(x + i + j * LANES), center);
            sums[j] = v_fma(value, value, sums[j]);
        }
    }
    for (; i + LANES <= width; i += LANES) {
        vf value = v_sub(v_load(x + i), center);
        sums[0] = v_fma(value, value, sums[0]);
    }
    if (i < width) {
        vf value = v_select(v_first(width - i), v_sub(v_load_first(x + i, width - i), center), v_zero());
        sums[1] = v_fma(value, value, sums[1]);
    }
    return v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3])));
}

INLINE float mean_of(const float *x, int32_t width) {
    vf even = v_zero(), odd = v_zero();
    int32_t i = 0;
    for (; i + 2 * LANES <= width; i += 2 * LANES) {
        even = v_add(even, v_load(x + i));
        odd = v_add(odd, v_load(x + i + LANES));
    }
    for (; i + LANES <= width; i += LANES) even = v_add(even, v_load(x + i));
    if (i < width) odd = v_add(odd, v_load_first(x + i, width - i));
    return v_sum(v_add(even, odd)) / (float)width;
}

INLINE float inverse_deviation(float squares, float epsilon, int32_t width) {
    return 1 / sqrtf(squares / (float)width + epsilon);
}

static void rms_norm(const float *x, const float *weight, float epsilon, float *y, int32_t width) {
    vf factor = v_set(inverse_deviation(sum_squares(x, 0, width), epsilon, width));
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        v_store(y + i, v_mul(v_mul(v_load(x + i), factor), v_load(weight + i)));
    }
    int32_t left = width - i;
    if (left > 0) {
        vf value = v_mul(v_mul(v_load_first(x + i, left), factor), v_load_first(weight + i, left));
        v_store_first(y + i, value, left);
    }
}

static void add_rms_norm(const float *x, const float *weight, float epsilon, float *y, int32_t width) {
    vf factor = v_set(inverse_deviation(sum_squares(x, 0, width), epsilon, width));
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        v_store(y + i, v_fma(v_mul(v_load(x + i), factor), v_load(weight + i), v_load(y + i)));
    }
    int32_t left = width - i;
    if (left > 0) {
        vf value = v_mul(v_load_first(x + i, left), factor);
        v_store_first(y + i, v_fma(value, v_load_first(weight + i, left), v_load_first(y + i, left)), left);
    }
}

static void
layer_norm(const float *x, const float *weight, const float *bias, float epsilon, float *y, int32_t width) {
    float mean = mean_of(x, width);
    vf center = v_set(mean);
    vf factor = v_set(inverse_deviation(sum_squares(x, mean, width), epsilon, width));
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) {
        vf value = v_mul(v_sub(v_load(x + i), center), factor);
        v_store(y + i, v_fma(value, v_load(weight + i), v_load(bias + i)));
    }
    int32_t left = width - i;
    if (left > 0) {
        vf value = v_mul(v_sub(v_load_first(x + i, left), center), factor);
        v_store_first(
            y + i, v_fma(value, v_load_first(weight + i, left), v_load_first(bias + i, left)), left);
    }
}

INLINE void activate_by(mr_function function, float *x, int32_t width) {
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) v_store(x + i, v_apply(function, v_load(x + i)));
    if (i < width) v_store_first(x + i, v_apply(function, v_load_first(x + i, width - i)), width - i);
}

static void activate(float *x, int32_t width, mr_function function) {
    switch (function) {
    case MR_SILU: activate_by(MR_SILU, x, width); break;
    case MR_GELU_TANH: activate_by(MR_GELU_TANH, x, width); break;
    case MR_GELU: activate_by(MR_GELU, x, width); break;
    case MR_RELU: activate_by(MR_RELU, x, width); break;
    }
}

static void scale(float *x, float factor, int32_t width) {
    vf by = v_set(factor);
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) v_store(x + i, v_mul(v_load(x + i), by));
    if (i < width) v_store_first(x + i, v_mul(v_load_first(x + i, width - i), by), width - i);
}

static void add_scaled(const float *x, float factor, float *y, int32_t width) {
    vf by = v_set(factor);
    int32_t i = 0;
    for (; i + LANES <= width; i += LANES) v_store(y + i, v_fma(v_load(x + i), by, v_load(y + i)));
    int32_t left = width - i;
    if (left > 0) v_store_first(y + i, v_fma(v_load_first(x + i, left), by, v_load_first(y + i, left)), left);
}

static void rotate(float *head, const float *cosines, const float *sines, int32_t pairs) {
    float *other = head + pairs;
    int32_t i = 0;
    for (; i + LANES <= pairs; i += LANES) {
        vf a = v_load(head + i), b = v_load(other + i), c = v_load(cosines + i), s = v_load(sines + i);
        v_store(head + i, v_sub(v_mul(a, c), v_mul(b, s)));
        v_store(other + i, v_add(v_mul(b, c), v_mul(a, s)));
    }
    int32_t left = pairs - i;
    if (left == 0) return;
    vf a = v_load_first(head + i, left), b = v_load_first(other + i, left);
    vf c = v_load_first(cosines + i, left), s = v_load_first(sines + i, left);
    v_store_first(head + i, v_sub(v_mul(a, c), v_mul(b, s)), left);
    v_store_first(other + i, v_add(v_mul(b, c), v_mul(a, s)), left);
}
