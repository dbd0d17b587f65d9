// Panels of stored weights (stored.h): to what products take, and multiplied by few rows as they are widened. Over the
// vectors of vector_*.h, and product_body.h.
#pragma STDC FP_CONTRACT OFF

#ifndef MR_PAIRS
// Words of two bfloat16, rounded to nearest, ties to even.
INLINE vi v_pair(vf first, vf second) {
    const vi one = w_set(1), half = w_set(0x7fff);
    vi low = (vi)first, high = (vi)second;
    low = w_add(low, w_add(half, w_and(w_down(low, 16), one)));
    high = w_add(high, w_add(half, w_and(w_down(high, 16), one)));
    return w_or(w_down(low, 16), w_and(high, w_set(0xffff0000u)));
}
#endif

// A group of a panel, in one vector of its outputs.
typedef struct {
    int bits;
    bool has_offsets;
    v_choice choice;
    vf step, offset;
    const char *numbers; // of output 0
    int lane; // the vector's first output
} stored_group;

INLINE stored_group
group_at(int bits, bool has_offsets, v_choice choice, const char *panel, int lane) {
    const float *steps = (const float *)(const void *)panel + lane, *offsets = steps + MR_PANEL;
    return (stored_group){
        .bits = bits,
        .has_offsets = has_offsets,
        .choice = choice,
        .step = v_load(steps),
        .offset = has_offsets ? v_load(offsets) : v_zero(),
        .numbers = panel + mr_stored_header_bytes(has_offsets),
        .lane = lane};
}

// Weights of eight inputs from `first`.
INLINE void eight_weights(const stored_group *group, int32_t first, vf weights[8]) {
    const char *numbers = group->numbers + mr_stored_number_bytes(group->bits, first);
    vi word = group->bits == 4 ? w_load(numbers + group->lane * 4) : w_set(0);
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) {
        vf number = group->bits == 4 ? v_choose(group->choice, w_down(word, 4 * i))
                                     : v_load_bytes((const int8_t *)numbers + i * MR_PANEL + group->lane);
        // Where a type has offsets, step * number has no more than 24 bits, so that this rounds once as two operations
        // do.
        weights[i] = group->has_offsets ? v_fma(number, group->step, group->offset) : v_mul(number, group->step);
    }
}

INLINE size_t stored_group_bytes(int bits, bool has_offsets, int32_t group) {
    return mr_stored_header_bytes(has_offsets) + mr_stored_number_bytes(bits, group);
}

INLINE void widen_as(
    int bits, bool has_offsets, bool floats, int32_t group, v_choice choice, const char *panel, int32_t inputs,
    char *target) {
    enum { LINE = MR_PANEL * 4 };
    for (int32_t at = 0; at < inputs; at += group, panel += stored_group_bytes(bits, has_offsets, group)) {
        for (int n = 0; n < MR_PANEL; n += LANES) {
            stored_group here = group_at(bits, has_offsets, choice, panel, n);
            char *y = target + n * 4;
            for (int32_t i = 0; i < group; i += 8) {
                vf weights[8];
                eight_weights(&here, i, weights);
#pragma clang loop unroll(full)
                for (int j = 0; j < 8; j += 2, y += floats ? 2 * LINE : LINE) {
                    if (floats) {
                        v_store((float *)(void *)y, weights[j]);
                        v_store((float *)(void *)(y + LINE), weights[j + 1]);
                    } else {
                        w_store(y, v_pair(weights[j], weights[j + 1]));
                    }
                }
            }
        }
        target += group * LINE / (floats ? 1 : 2);
    }
}

// As product() of a panel of pairs does it, whose pairs are made on the way.
INLINE void multiply_stored_as(
    int bits, bool has_offsets, int rows, int32_t group, v_choice choice, const char *a, size_t a_bytes,
    const char *panel, int32_t inputs, float *out) {
    enum { VECTORS = MR_PANEL / LANES, AHEAD = 4096 };
    vf sums[MR_FUSED_ROWS][VECTORS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < VECTORS; v++) sums[r][v] = v_zero();
    }
    const size_t bytes = stored_group_bytes(bits, has_offsets, group);
    for (int32_t at = 0; at < inputs; at += group, panel += bytes) {
        for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(panel + AHEAD + line);
#pragma clang loop unroll(full)
        for (int v = 0; v < VECTORS; v++) {
            stored_group here = group_at(bits, has_offsets, choice, panel, v * LANES);
            const char *x = a + (size_t)(at / 2) * step_bytes(MATRIX_KIND);
            for (int32_t i = 0; i < group; i += 8, x += 4 * step_bytes(MATRIX_KIND)) {
                vf weights[8];
                eight_weights(&here, i, weights);
#pragma clang loop unroll(full)
                for (int j = 0; j < 4; j++) {
                    vi pair = v_pair(weights[2 * j], weights[2 * j + 1]);
#pragma clang loop unroll(full)
                    for (int r = 0; r < rows; r++) {
                        const char *value = x + (size_t)r * a_bytes + (size_t)j * step_bytes(MATRIX_KIND);
                        sums[r][v] = multiply_add(MATRIX_KIND, sums[r][v], value, pair);
                    }
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < VECTORS; v++) v_store(out + r * MR_PANEL + v * LANES, sums[r][v]);
    }
}

INLINE v_choice choice_of(const mr_block_type *type) {
    float numbers[16] = {0};
    for (int i = 0; i < 16 && type->choice != NULL; i++) numbers[i] = type->choice[i];
    return v_choice_of(numbers);
}

// Calls run(bits, has offsets) with constants.
#define MR_CONSTANT_STORED(type, run)                                                                        \
    if ((type)->choice != NULL && (type)->has_offsets) {                                                     \
        run(4, true);                                                                                        \
    } else if ((type)->choice != NULL) {                                                                     \
        run(4, false);                                                                                       \
    } else if ((type)->has_offsets) {                                                                        \
        run(8, true);                                                                                        \
    } else {                                                                                                 \
        run(8, false);                                                                                       \
    }

static void widen(const mr_block_type *type, const char *panel, int32_t inputs, bool floats, char *target) {
    v_choice choice = choice_of(type);
#define FLOATS_RUN(bits, offsets) widen_as(bits, offsets, true, type->group, choice, panel, inputs, target)
#define PAIRS_RUN(bits, offsets) widen_as(bits, offsets, false, type->group, choice, panel, inputs, target)
    if (floats) {
        MR_CONSTANT_STORED(type, FLOATS_RUN)
    } else {
        MR_CONSTANT_STORED(type, PAIRS_RUN)
    }
#undef FLOATS_RUN
#undef PAIRS_RUN
}

static void multiply_stored(
    const mr_block_type *type, const void *a, size_t a_bytes, int32_t rows, const char *panel, int32_t inputs,
    float *out) {
    v_choice choice = choice_of(type);
#define RUN(bits, offsets)                                                                                   \
    switch (rows) {                                                                                          \
    case 1: ROWS(bits, offsets, 1); break;                                                                   \
    case 2: ROWS(bits, offsets, 2); break;                                                                   \
    case 3: ROWS(bits, offsets, 3); break;                                                                   \
    default: ROWS(bits, offsets, 4); break;                                                                  \
    }
#define ROWS(bits, offsets, n)                                                                               \
    multiply_stored_as(bits, offsets, n, type->group, choice, a, a_bytes, panel, inputs, out)
    MR_CONSTANT_STORED(type, RUN)
#undef ROWS
#undef RUN
}
