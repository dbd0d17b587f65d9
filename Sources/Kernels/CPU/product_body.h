// The inner loop that matrix tiles, attention scores and attention outputs share: sums[r][c] += a[r] x w[c]
// over steps. A step is one 32-bit word of every vector lane: a float32, or a pair of bfloat16.
//
// Every sum runs over its steps in ascending order with one accumulator, whatever `rows` and `columns` are:
// that is what makes results independent of tiling.
#pragma STDC FP_CONTRACT OFF

enum {
    FLOATS, // a and w float32
    WIDENED, // w pairs of bfloat16, widened here; a two float32 a step
    PAIRS, // a and w pairs of bfloat16, for two-element dot product instructions
    BYTES, // a four unsigned bytes, w four signed ones; sums are 32-bit integers
};

#define NOTHING_AHEAD ((mr_ahead){NULL, 0})

INLINE size_t step_bytes(int kind) { return kind == WIDENED ? 8 : 4; }

INLINE vf broadcast(const char *value) {
    float bits;
    __builtin_memcpy(&bits, value, 4);
    return v_set(bits);
}

INLINE vf multiply_add(int kind, vf sum, const char *a, vi w) {
    if (kind == FLOATS) return v_fma(broadcast(a), w_float(w), sum);
    if (kind == WIDENED) return v_fma(broadcast(a + 4), w_high(w), v_fma(broadcast(a), w_low(w), sum));
#ifdef MR_BYTES
    return v_dot_bytes(sum, broadcast(a), w);
#elif defined(MR_PAIRS)
    return v_dot(sum, broadcast(a), w);
#else
    return sum;
#endif
}

// One step of all sums. Rows are addressed from every third one, which keeps their addresses in registers.
INLINE void product_step(
    int kind, int rows, int columns, vf sums[MAX_ROWS][MAX_COLUMNS], const char *const a[4], size_t a_bytes,
    size_t a_at, const char *const w[MAX_COLUMNS], size_t w_at) {
    vi weights[MAX_COLUMNS];
#pragma clang loop unroll(full)
    for (int c = 0; c < columns; c++) weights[c] = w_load(w[c] + w_at);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        const char *value = a[r / 3] + (size_t)(r % 3) * a_bytes + a_at;
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) sums[r][c] = multiply_add(kind, sums[r][c], value, weights[c]);
    }
}

// a: rows a_bytes apart, steps one after another; w[c]: vectors w_bytes apart. What lies ahead comes into the
// second-level cache, evenly over the steps.
INLINE void product(
    int kind, int rows, int columns, vf sums[MAX_ROWS][MAX_COLUMNS], const char *a, size_t a_bytes,
    const char *const w[MAX_COLUMNS], size_t w_bytes, int32_t steps, mr_ahead ahead) {
    const size_t step = step_bytes(kind);
    const char *rows_at[4] = {a, a + 3 * a_bytes, a + 6 * a_bytes, a + 9 * a_bytes};
    const char *w_at[MAX_COLUMNS];
    for (int c = 0; c < columns; c++) w_at[c] = w[c];
    const int32_t fours = steps / 4, fetched = fours > 0 ? (ahead.lines + fours - 1) / fours : 0;
    int32_t k = 0;
    for (; k + 4 <= steps; k += 4) {
        for (int32_t i = 0; i < fetched; i++, ahead.from += 64) __builtin_prefetch(ahead.from, 0, 2);
        // Else the compiler makes up an address for each row, runs out of registers, and spills sums.
        __asm__("" : "+r"(rows_at[0]), "+r"(rows_at[1]), "+r"(rows_at[2]), "+r"(rows_at[3]));
#pragma clang loop unroll(full)
        for (size_t s = 0; s < 4; s++) {
            product_step(kind, rows, columns, sums, rows_at, a_bytes, s * step, w_at, s * w_bytes);
        }
        for (int g = 0; g < 4; g++) rows_at[g] += 4 * step;
        for (int c = 0; c < columns; c++) w_at[c] += 4 * w_bytes;
    }
    for (; k < steps; k++) {
        product_step(kind, rows, columns, sums, rows_at, a_bytes, 0, w_at, 0);
        for (int g = 0; g < 4; g++) rows_at[g] += step;
        for (int c = 0; c < columns; c++) w_at[c] += w_bytes;
    }
}

// Calls run(n) with a constant n = count in 1...6, so that sums stay in registers.
#define MR_CONSTANT_ROWS_6(count, run)                                                                       \
    switch (count) {                                                                                         \
    case 1: run(1); break;                                                                                   \
    case 2: run(2); break;                                                                                   \
    case 3: run(3); break;                                                                                   \
    case 4: run(4); break;                                                                                   \
    case 5: run(5); break;                                                                                   \
    default: run(6); break;                                                                                  \
    }
#define MR_CONSTANT_ROWS_12(count, run)                                                                      \
    switch (count) {                                                                                         \
    case 7: run(7); break;                                                                                   \
    case 8: run(8); break;                                                                                   \
    case 9: run(9); break;                                                                                   \
    case 10: run(10); break;                                                                                 \
    case 11: run(11); break;                                                                                 \
    case 12: run(12); break;                                                                                 \
    default: MR_CONSTANT_ROWS_6(count, run)                                                                  \
    }
