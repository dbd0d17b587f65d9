// What this instruction set can do at most: its multiply-add from registers alone, and reading memory in order.

// Sums that depend on nothing but themselves, as many as registers hold, so that only the multiplier counts.
enum { PEAK_SUMS = LANES == 8 ? 12 : 24 };

// Returns operations a step.
INLINE double run_peak(int kind, int64_t steps) {
    vf sums[PEAK_SUMS], a = v_set(1e-8f);
    vi w = (vi)v_set(1e-8f);
    for (int i = 0; i < PEAK_SUMS; i++) sums[i] = v_set((float)i);
    for (int64_t s = 0; s < steps; s++) {
        // The compiler must take these for values it does not know, or it would fold the loop.
        __asm__ volatile("" : "+v"(a), "+v"(w));
#pragma clang loop unroll(full)
        for (int i = 0; i < PEAK_SUMS; i++) {
#ifdef MR_PAIRS
            sums[i] = kind == PAIRS ? v_dot(sums[i], a, w) : v_fma(a, (vf)w, sums[i]);
#else
            sums[i] = v_fma(a, (vf)w, sums[i]);
#endif
        }
    }
    for (int i = 0; i < PEAK_SUMS; i++) __asm__ volatile("" : : "v"(sums[i]));
    return (kind == PAIRS ? 4.0 : 2.0) * LANES * PEAK_SUMS;
}

static double peak_f32(int64_t steps) { return run_peak(FLOATS, steps); }
#ifdef MR_PAIRS
static double peak_bf16(int64_t steps) { return run_peak(PAIRS, steps); }
#endif

static void peak_read(const char *data, size_t bytes) {
    vi found[4];
    for (int i = 0; i < 4; i++) found[i] = w_set(0xffffffffu);
    for (size_t at = 0; at + 4 * LANES * 4 <= bytes; at += 4 * LANES * 4) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) found[i] = w_and(found[i], w_load(data + at + (size_t)i * LANES * 4));
    }
    for (int i = 0; i < 4; i++) __asm__ volatile("" : : "v"(found[i]));
}
