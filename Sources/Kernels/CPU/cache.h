// How one kv head of one span (16 positions) lies in the KV cache.
//
// W is the head width rounded up to 16; the padding is zero and never written.
//   bfloat16:  keys [W / 2][16 positions][2 dimensions], then values [8 position pairs][W][2 positions]
//   float32:   keys [W][16 positions],                   then values [16 positions][W]
// So one vector of 16 lanes holds one dimension (pair) of the keys of a whole span, which gives the span's 16
// scores without a horizontal sum, and values of one position (pair) in 16 dimensions, which accumulate the output
// without one. The bfloat16 layouts are those of two-element dot product instructions.
#pragma once
#include "engine.h"

static inline int32_t mr_padded_width(int32_t head_width) { return (head_width + 15) / 16 * 16; }

// Bytes of the keys (or the values) of one head in one span.
static inline size_t mr_span_half_bytes(bool bf16, int32_t head_width) {
    return (size_t)mr_padded_width(head_width) * MR_SPAN * (bf16 ? 2 : 4);
}

static inline size_t mr_span_bytes(bool bf16, const mr_cache *cache) {
    return 2 * mr_span_half_bytes(bf16, cache->head_width) * (size_t)cache->kv_heads;
}

// Spans of one layer.
static inline size_t mr_layer_spans(const mr_cache *cache) {
    return (size_t)cache->blocks * (size_t)(cache->block_size / MR_SPAN);
}

// Where span `index` of a sequence lies.
static inline const char *mr_tile_span(const mr_attention_tile *tile, int32_t index) {
    int32_t per_block = tile->spans_per_block;
    size_t span = (size_t)tile->table[index / per_block] * (size_t)per_block + (size_t)(index % per_block);
    return tile->head + span * tile->span_bytes;
}

// Writes one head's key and value of one position. `key` and `value` hold float32.
void mr_store_head(bool bf16, int32_t width, char *head, int32_t at, const float *key, const float *value);
