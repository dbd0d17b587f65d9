// Scans of one row of logits over the vectors of vector_*.h and functions_body.h.
#pragma STDC FP_CONTRACT OFF

enum { UNROLL = 4 };

static float maximum(const float *values, int64_t count) {
    vf most[UNROLL];
    for (int j = 0; j < UNROLL; j++) most[j] = v_set(-INFINITY);
    int64_t i = 0;
    // v_max takes its second operand where either is NaN.
    for (; i + UNROLL * LANES <= count; i += UNROLL * LANES) {
        for (int j = 0; j < UNROLL; j++) most[j] = v_max(v_load(values + i + j * LANES), most[j]);
    }
    float best = v_maximum(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
    for (; i < count; i++) {
        if (values[i] > best) best = values[i];
    }
    return best;
}

// The largest value first, then where it is first found: two passes, without a branch for each lane.
static int64_t argmax(const float *values, int64_t count) {
    float best = maximum(values, count);
    vf wanted = v_set(best);
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        // `best` is the maximum, so at least as large means equal, and NaN is neither.
        uint32_t found = v_bits(v_at_least(v_load(values + i), wanted));
        if (found != 0) return i + __builtin_ctz(found);
    }
    for (; i < count; i++) {
        if (values[i] >= best) return i;
    }
    return -1;
}

static double sum_exp(const float *values, int64_t count, float maximum, float scale) {
    vf most = v_set(maximum), by = v_set(scale);
    double total = 0;
    int64_t i = 0;
    while (i + LANES <= count) {
        // Float32 sums of a few vectors lose nothing that shows, and spare most of the conversions.
        vf sum = v_zero();
        for (int j = 0; j < UNROLL && i + LANES <= count; j++, i += LANES) {
            sum = v_add(sum, v_exp(v_mul(v_sub(v_load(values + i), most), by)));
        }
        total += v_sum_double(sum);
    }
    if (i < count) {
        int32_t left = (int32_t)(count - i);
        vf last = v_exp(v_mul(v_sub(v_load_first(values + i, left), most), by));
        total += v_sum_double(v_select(v_first(left), last, v_zero()));
    }
    return total;
}

static int64_t count_at_least(const float *values, int64_t count, float threshold) {
    vf limit = v_set(threshold);
    int64_t found = 0, i = 0;
    for (; i + LANES <= count; i += LANES) {
        found += __builtin_popcount(v_bits(v_at_least(v_load(values + i), limit)));
    }
    for (; i < count; i++) found += values[i] >= threshold;
    return found;
}

static int64_t
indices_at_least(const float *values, int64_t count, float threshold, int32_t *indices, int64_t room) {
    vf limit = v_set(threshold);
    int64_t found = 0, i = 0;
    for (; i + LANES <= count; i += LANES) {
        uint32_t lanes = v_bits(v_at_least(v_load(values + i), limit));
        for (; lanes != 0; lanes &= lanes - 1, found++) {
            if (found < room) indices[found] = (int32_t)i + __builtin_ctz(lanes);
        }
    }
    for (; i < count; i++) {
        if (!(values[i] >= threshold)) continue;
        if (found < room) indices[found] = (int32_t)i;
        found++;
    }
    return found;
}
