// Attention in plain C, one query at a time: scores of every visible position, softmax, weighted sum of
// values.
#include "cache.h"
#include "engine.h"
#include "numbers.h"
#pragma STDC FP_CONTRACT OFF
#include "widen_body.h"

static float key_at(const char *span, bool bf16, int32_t at, int32_t d) {
    if (bf16) return mr_bf16_to_f32(((const uint16_t *)span)[(d / 2 * MR_SPAN + at) * 2 + d % 2]);
    return ((const float *)span)[d * MR_SPAN + at];
}

static float value_at(const char *span, bool bf16, int32_t width, int32_t at, int32_t d) {
    const char *values = span + mr_span_half_bytes(bf16 ? MR_CACHE_BFLOAT16 : MR_CACHE_FLOAT32, width);
    int32_t padded = mr_padded_width(width);
    if (!bf16) return ((const float *)values)[mr_value_word(padded, MR_SPAN, at, d)];
    return mr_bf16_to_f32(
        ((const uint16_t *)values)[2 * mr_value_word(padded, MR_SPAN / 2, at / 2, d) + (size_t)at % 2]);
}

static float score(const mr_attention_tile *tile, const float *query, bool bf16, int32_t position) {
    const char *span = mr_tile_span(tile, position / MR_SPAN);
    float sum = 0;
    for (int32_t d = 0; d < tile->head_width; d++) {
        float q = bf16 ? mr_bf16_to_f32(mr_f32_to_bf16(query[d])) : query[d];
        sum += q * key_at(span, bf16, position % MR_SPAN, d);
    }
    sum *= tile->scale;
    return tile->soft_cap > 0 ? tile->soft_cap * tanhf(sum / tile->soft_cap) : sum;
}

static void attend_query(
    const mr_attention_tile *tile, const float *query, int32_t position, bool bf16, float *scores,
    float *output) {
    int32_t first = mr_first_seen(position, tile->window);
    float maximum = -INFINITY, sum = 0;
    for (int32_t p = first; p <= position; p++) {
        scores[p] = score(tile, query, bf16, p);
        maximum = fmaxf(maximum, scores[p]);
    }
    for (int32_t p = first; p <= position; p++) sum += scores[p] = expf(scores[p] - maximum);
    for (int32_t d = 0; d < tile->head_width; d++) output[d] = 0;
    for (int32_t p = first; p <= position; p++) {
        const char *span = mr_tile_span(tile, p / MR_SPAN);
        for (int32_t d = 0; d < tile->head_width; d++) {
            output[d] += scores[p] * value_at(span, bf16, tile->head_width, p % MR_SPAN, d);
        }
    }
    for (int32_t d = 0; d < tile->head_width; d++) output[d] /= sum;
}

static void attend(const mr_attention_tile *tile, bool bf16) {
    for (int32_t r = 0; r < tile->rows; r++) {
        for (int32_t h = 0; h < tile->group; h++) {
            attend_query(
                tile, tile->queries + r * tile->query_stride + h * tile->head_width, tile->position + r, bf16,
                (float *)tile->scratch, tile->outputs + r * tile->output_stride + h * tile->head_width);
        }
    }
}

static void attend_f32(const mr_attention_tile *tile) { attend(tile, false); }
static void attend_bf16(const mr_attention_tile *tile) { attend(tile, true); }

void mr_attention_scalar(mr_kernels *kernels) {
    kernels->attend_f32 = attend_f32;
    kernels->attend_bf16 = attend_bf16;
    kernels->widen_keys = widen_keys;
    kernels->widen_values = widen_values;
}
