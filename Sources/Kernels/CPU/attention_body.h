// Attention of one tile of queries, in three passes: all scores (keys), softmax, all outputs (values). Here is what
// all instruction sets have in common: queries, softmax, and the last division. Scores and outputs are products:
// attention_product_body.h, attention_amx.c. Each query's arithmetic is its own, in ascending position: sharing a
// tile only shares loads.
//
// A query sees the spans (16 positions) from the one that holds its first visible position to its own. What
// lies outside the visible range within these spans is never computed with: scores become -inf, so weights 0,
// and values are skipped or masked, because slots that nobody has written yet may hold anything.
#include "cache.h"
#include "rounding.h"

enum { SPAN_VECTORS = MR_SPAN / LANES };

typedef struct {
    const mr_attention_tile *tile;
    int32_t queries; // rows * group; query i is head i % group of row i / group
    int32_t first_span; // the earliest any query sees
    int32_t span_count; // to the last any query sees
    float *scores; // [queries][scores_stride], column 0 is position 0 of first_span
    int32_t scores_stride;
    char *rounded; // [queries], query_bytes apart: queries as the product takes them
    size_t query_bytes;
    float *sums; // [queries][sums_stride] outputs before division
    int32_t sums_stride;
    float totals[MR_TILE_QUERIES];
} attention;

INLINE int32_t position_of(const attention *at, int32_t query) {
    return at->tile->position + query / at->tile->group;
}

// First position the query sees.
INLINE int32_t visible_from(const attention *at, int32_t query) {
    return mr_first_seen(position_of(at, query), at->tile->window);
}

// `tile` with room for scores and sums cut from its scratch.
INLINE attention begin_attention(const mr_attention_tile *tile, int kind) {
    attention at = {.tile = tile, .queries = tile->rows * tile->group};
    at.first_span = visible_from(&at, 0) / MR_SPAN;
    at.span_count = (tile->position + tile->rows - 1) / MR_SPAN + 1 - at.first_span;
    at.scores_stride = mr_scores_stride(at.span_count * MR_SPAN);
    at.scores = (float *)tile->scratch;
    at.rounded = tile->scratch + (size_t)MR_TILE_QUERIES * (size_t)at.scores_stride * 4;
    size_t width = (size_t)mr_padded_width(tile->head_width);
    at.query_bytes = ((width * (kind == PAIRS ? 2 : 4) + 63) / 64 | 1) * 64;
    at.sums = (float *)(at.rounded + (size_t)MR_TILE_QUERIES * (MR_MAX_HEAD_WIDTH + 16) * 4);
    at.sums_stride = (int32_t)(width / 16 | 1) * 16;
    return at;
}

// Spans that the query sees in part or whole, of the tile's.
INLINE int32_t first_seen(const attention *at, int32_t query) {
    return visible_from(at, query) / MR_SPAN - at->first_span;
}
INLINE int32_t end_seen(const attention *at, int32_t query) {
    return position_of(at, query) / MR_SPAN + 1 - at->first_span;
}

static void load_queries(const attention *at, int kind) {
    const mr_attention_tile *tile = at->tile;
    for (int32_t i = 0; i < at->queries; i++) {
        const float *query = tile->queries + i / tile->group * tile->query_stride +
                             i % tile->group * tile->head_width;
        char *target = at->rounded + (size_t)i * at->query_bytes;
        if (kind == FLOATS)
            memcpy(target, query, (size_t)tile->head_width * 4);
        else if (kind == WIDENED)
            mr_round_floats(query, tile->head_width, (float *)target);
#ifdef MR_PAIRS
        else
            v_round_row(query, tile->head_width, target);
#endif
    }
}

// Lane mask of a vector whose lane 0 is position `start`: those in from..<to.
INLINE vf only_visible(vf scores, int32_t start, int32_t from, int32_t to) {
    if (to - start < LANES) scores = v_select(v_first(to > start ? to - start : 0), scores, v_set(-INFINITY));
    if (from > start) {
        scores = from - start >= LANES ? v_set(-INFINITY)
                                       : v_select(v_first(from - start), v_set(-INFINITY), scores);
    }
    return scores;
}

// Scores of one query to weights exp(score - maximum), in place; as pairs of bfloat16 where the product takes
// those.
static void weigh(attention *at, int kind, int32_t query) {
    const mr_attention_tile *tile = at->tile;
    int32_t base = at->first_span * MR_SPAN, from = visible_from(at, query) - base,
            to = position_of(at, query) + 1 - base;
    int32_t begin = from / MR_SPAN * MR_SPAN, end = (to + MR_SPAN - 1) / MR_SPAN * MR_SPAN;
    float *scores = at->scores + (size_t)query * (size_t)at->scores_stride;
    vf scale = v_set(tile->scale), cap = v_set(tile->soft_cap), most = v_set(-INFINITY), total = v_zero();
    for (int32_t p = begin; p < end; p += LANES) {
        vf score = v_mul(v_load(scores + p), scale);
        if (tile->soft_cap > 0) score = v_mul(cap, v_tanh(v_div(score, cap)));
        score = only_visible(score, p, from, to);
        v_store(scores + p, score);
        most = v_max(most, score);
    }
    vf maximum = v_set(v_maximum(most));
    for (int32_t p = begin; p < end; p += LANES) {
        vf weight = v_exp(v_sub(v_load(scores + p), maximum));
        total = v_add(total, weight);
        v_store(scores + p, weight);
    }
    at->totals[query] = v_sum(total);
#ifdef MR_PAIRS
    if (kind == PAIRS) {
        // Narrows towards the front of each span's own room, so that spans stay where they are.
        for (int32_t p = begin; p < end; p += MR_SPAN) v_store_rounded(scores + p, v_load(scores + p));
    }
#else
    (void)kind;
#endif
}

static void write_outputs(const attention *at) {
    const mr_attention_tile *tile = at->tile;
    for (int32_t i = 0; i < at->queries; i++) {
        const float *sums = at->sums + (size_t)i * (size_t)at->sums_stride;
        float *output = tile->outputs + i / tile->group * tile->output_stride +
                        i % tile->group * tile->head_width;
        vf share = v_set(1 / at->totals[i]);
        int32_t d = 0;
        for (; d + LANES <= tile->head_width; d += LANES) v_store(output + d, v_mul(v_load(sums + d), share));
        int32_t left = tile->head_width - d;
        if (left > 0) v_store_first(output + d, v_mul(v_load_first(sums + d, left), share), left);
    }
}
