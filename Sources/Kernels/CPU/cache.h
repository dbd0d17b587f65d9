// How one kv head of one span (16 positions) lies in the KV cache.
//
// W is the head width rounded up to 16; the padding is zero and never written.
//   bfloat16:  keys [W / 2][16 positions][2 dimensions], then values [W / 64][8 position pairs][64][2 positions]
//   float32:   keys [W][16 positions], then values [W / 64][16 positions][64]
//   int8:      as bfloat16, in bytes; after the keys and after the values a float32 scale for each position
// So one vector of 16 lanes holds one dimension (pair) of the keys of a whole span, which gives the span's 16
// scores without a horizontal sum, and values of one position (pair) in 16 dimensions, which accumulate the
// output without one. Values come in slabs of 64 dimensions (the last may be narrower), as many as one pass
// over the positions sums up, so that every pass reads memory in order. The bfloat16 layouts are those of
// two-element dot product instructions. Bytes are widened to them before they are used (widen_body.h); a scale of its
// own for each position means that what is stored never depends on what comes later, or on the order of writing.
#pragma once
#include "engine.h"

static inline int32_t mr_padded_width(int32_t head_width) { return (head_width + 15) / 16 * 16; }

// Bytes of the keys (or the values) of one head in one span.
static inline size_t mr_span_half_bytes(mr_cache_type type, int32_t head_width) {
    size_t numbers = (size_t)mr_padded_width(head_width) * MR_SPAN;
    switch (type) {
    case MR_CACHE_FLOAT32: return numbers * 4;
    case MR_CACHE_BFLOAT16: return numbers * 2;
    case MR_CACHE_INT8: return numbers + MR_SPAN * sizeof(float);
    }
    return 0;
}

enum { MR_SLAB = 64 };

// Dimensions of the slab that holds dimension d.
static inline int32_t mr_slab_width(int32_t padded_width, int32_t d) {
    int32_t left = padded_width - d / MR_SLAB * MR_SLAB;
    return left < MR_SLAB ? left : MR_SLAB;
}

// Word of dimension d in row `row` (a position, or a pair of them, of `rows`) of a span's values.
static inline size_t mr_value_word(int32_t padded_width, int32_t rows, int32_t row, int32_t d) {
    size_t slab = (size_t)(d / MR_SLAB * MR_SLAB) * (size_t)rows;
    return slab + (size_t)row * (size_t)mr_slab_width(padded_width, d) + (size_t)(d % MR_SLAB);
}

static inline size_t mr_span_head_bytes(const mr_cache *cache) {
    return 2 * mr_span_half_bytes(cache->type, cache->head_width);
}

static inline size_t mr_span_bytes(const mr_cache *cache) {
    return mr_span_head_bytes(cache) * (size_t)cache->kv_heads;
}

// First position that a query at `position` sees; `window` 0: all before it.
static inline int32_t mr_first_seen(int32_t position, int32_t window) {
    return window > 0 && position + 1 > window ? position + 1 - window : 0;
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

// Writes one head's key and value (`width` float32 each) of one position. Of a pair of positions that share
// words, only this one's half is written, so that threads may store neighbours at once.
void mr_store_head(
    const mr_engine *engine, mr_cache_type type, int32_t width, char *head, int32_t at, const float *key,
    const float *value);
