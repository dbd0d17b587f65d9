// Bytes of the cache to bfloat16, in the places those would have (cache.h). Compiled for each instruction set; all give
// the same numbers.

// Keys: pairs [..][16 positions][2 dimensions], a scale for each position.
static void widen_keys(const int8_t *bytes, const float *scales, int32_t pairs, uint32_t *words) {
    for (int32_t p = 0; p < pairs; p++, bytes += 2 * MR_SPAN, words += MR_SPAN) {
#pragma clang loop vectorize(enable)
        for (int32_t i = 0; i < MR_SPAN; i++) {
            uint32_t low = mr_f32_to_bf16((float)bytes[2 * i] * scales[i]);
            uint32_t high = mr_f32_to_bf16((float)bytes[2 * i + 1] * scales[i]);
            words[i] = low | high << 16;
        }
    }
}

// Values of a slab: [8 pairs of positions][width][2 positions].
static void widen_values(const int8_t *bytes, const float *scales, int32_t width, uint32_t *words) {
    for (int32_t p = 0; p < MR_SPAN; p += 2, bytes += 2 * width, words += width) {
        const float first = scales[p], second = scales[p + 1];
#pragma clang loop vectorize(enable)
        for (int32_t i = 0; i < width; i++) {
            uint32_t low = mr_f32_to_bf16((float)bytes[2 * i] * first);
            uint32_t high = mr_f32_to_bf16((float)bytes[2 * i + 1] * second);
            words[i] = low | high << 16;
        }
    }
}
