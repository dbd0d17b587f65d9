// Scores and outputs of attention_body.h by product_body.h: up to 6 queries by 4 vectors of positions or dimensions in
// registers.

INLINE int32_t key_steps(int kind, int32_t width) { return kind == FLOATS ? width : (width + 1) / 2; }

// Raw scores of `rows` queries from `query`, over `spans` spans from span `span` of the tile.
INLINE void score_spans(const attention *at, int kind, int rows, int32_t query, int spans, int32_t span) {
    vf sums[MAX_ROWS][MAX_COLUMNS];
    const char *keys[MAX_COLUMNS];
#pragma clang loop unroll(full)
    for (int s = 0; s < spans; s++) {
        const char *head = mr_tile_span(at->tile, at->first_span + span + s);
#pragma clang loop unroll(full)
        for (int v = 0; v < SPAN_VECTORS; v++) {
            keys[s * SPAN_VECTORS + v] = head + (size_t)v * LANES * 4;
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) sums[r][s * SPAN_VECTORS + v] = v_zero();
        }
    }
    const char *a = at->rounded + (size_t)query * at->query_bytes;
    int32_t steps = key_steps(kind, at->tile->head_width);
    product(kind, rows, spans * SPAN_VECTORS, sums, a, at->query_bytes, keys, MR_SPAN * 4, steps, NOTHING_AHEAD);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        float *scores = at->scores + (size_t)(query + r) * (size_t)at->scores_stride + span * MR_SPAN;
#pragma clang loop unroll(full)
        for (int v = 0; v < spans * SPAN_VECTORS; v++) v_store(scores + v * LANES, sums[r][v]);
    }
}

INLINE void score_queries(const attention *at, int kind, int rows, int32_t query) {
    int32_t span = 0;
    for (; span + SCORE_SPANS <= at->span_count; span += SCORE_SPANS) {
        score_spans(at, kind, rows, query, SCORE_SPANS, span);
    }
    for (; span < at->span_count; span++) score_spans(at, kind, rows, query, 1, span);
}

// Values of one span, columns from `column`.
INLINE const char *span_values(const attention *at, int kind, int32_t span, int32_t column) {
    const char *head = mr_tile_span(at->tile, at->first_span + span);
    int32_t padded = mr_padded_width(at->tile->head_width), rows = kind == FLOATS ? MR_SPAN : MR_SPAN / 2;
    return head + mr_span_half_bytes(kind == FLOATS ? MR_CACHE_FLOAT32 : MR_CACHE_BFLOAT16, at->tile->head_width) +
           mr_value_word(padded, rows, 0, column) * 4;
}

// One masked step: of a pair, only one position is visible.
INLINE void add_half_pair(
    int kind, int rows, int columns, vf sums[MAX_ROWS][MAX_COLUMNS], const char *weights, size_t weight_bytes,
    const char *const values[MAX_COLUMNS], size_t at, uint32_t keep) {
    for (int c = 0; c < columns; c++) {
        vi value = w_and(w_load(values[c] + at), w_set(keep));
        for (int r = 0; r < rows; r++) {
            sums[r][c] = multiply_add(kind, sums[r][c], weights + (size_t)r * weight_bytes, value);
        }
    }
}

// sums += weights x values over positions from..<to of one span.
INLINE void add_values(
    const attention *at, int kind, int rows, int columns, vf sums[MAX_ROWS][MAX_COLUMNS], int32_t query,
    int32_t column, int32_t span, int32_t from, int32_t to) {
    const char *values[MAX_COLUMNS];
    const char *first = span_values(at, kind, span, column);
    for (int c = 0; c < columns; c++) values[c] = first + (size_t)c * LANES * 4;
    const char *weights = (const char *)(at->scores + (size_t)query * (size_t)at->scores_stride +
                                         span * MR_SPAN);
    size_t row = (size_t)at->scores_stride * 4,
           stride = (size_t)mr_slab_width(mr_padded_width(at->tile->head_width), column) * 4;
    size_t step = step_bytes(kind);
    if (kind == FLOATS) {
        for (int c = 0; c < columns; c++) values[c] += (size_t)from * stride;
        product(
            kind, rows, columns, sums, weights + (size_t)from * step, row, values, stride, to - from, NOTHING_AHEAD);
        return;
    }
    int32_t pair = from / 2;
    if (from % 2 != 0) {
        size_t at_pair = (size_t)pair * stride;
        add_half_pair(
            kind, rows, columns, sums, weights + (size_t)pair * step, row, values, at_pair, 0xffff0000u);
        pair++;
    }
    const char *here[MAX_COLUMNS];
    for (int c = 0; c < columns; c++) here[c] = values[c] + (size_t)pair * stride;
    if (to / 2 > pair)
        product(
            kind, rows, columns, sums, weights + (size_t)pair * step, row, here, stride, to / 2 - pair, NOTHING_AHEAD);
    if (to % 2 != 0 && to / 2 >= pair) {
        size_t at_pair = (size_t)(to / 2) * stride;
        add_half_pair(
            kind, rows, columns, sums, weights + (size_t)(to / 2) * step, row, values, at_pair, 0x0000ffffu);
    }
}

// Adds spans begin..<end of the tile to the sums of `rows` queries from `query`, in `columns` vectors from
// `column`. The queries all see the same part of these spans.
INLINE void add_spans(
    const attention *at, int kind, int rows, int columns, int32_t query, int32_t column, int32_t begin,
    int32_t end) {
    int32_t base = at->first_span * MR_SPAN;
    int32_t from = visible_from(at, query) - base, to = position_of(at, query) + 1 - base;
    vf sums[MAX_ROWS][MAX_COLUMNS];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        const float *start = at->sums + (size_t)(query + r) * (size_t)at->sums_stride + column;
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) sums[r][c] = v_load(start + c * LANES);
    }
    for (int32_t s = begin; s < end; s++) {
        int32_t first = from > s * MR_SPAN ? from - s * MR_SPAN : 0;
        int32_t last = to < (s + 1) * MR_SPAN ? to - s * MR_SPAN : MR_SPAN;
        add_values(at, kind, rows, columns, sums, query, column, s, first, last);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
        float *result = at->sums + (size_t)(query + r) * (size_t)at->sums_stride + column;
#pragma clang loop unroll(full)
        for (int c = 0; c < columns; c++) v_store(result + c * LANES, sums[r][c]);
    }
}

INLINE void
add_spans_to_columns(const attention *at, int kind, int rows, int32_t query, int32_t begin, int32_t end) {
    int32_t column = 0, width = mr_padded_width(at->tile->head_width);
    for (; column + OUTPUT_COLUMNS * LANES <= width; column += OUTPUT_COLUMNS * LANES) {
        add_spans(at, kind, rows, OUTPUT_COLUMNS, query, column, begin, end);
    }
    for (; column < width; column += LANES) add_spans(at, kind, rows, 1, query, column, begin, end);
}

// One function a kind, each with its code for every number of rows.
#ifdef MR_FLOAT_TILES
static __attribute__((noinline)) void
add_spans_floats(const attention *at, int32_t rows, int32_t query, int32_t begin, int32_t end) {
#define RUN(n) add_spans_to_columns(at, FLOATS, n, query, begin, end)
    MR_CONSTANT_ROWS_6(rows, RUN)
#undef RUN
}
#endif

static __attribute__((noinline)) void
add_spans_bf16(const attention *at, int32_t rows, int32_t query, int32_t begin, int32_t end){
#define RUN(n) add_spans_to_columns(at, MATRIX_KIND, n, query, begin, end)
    MR_CONSTANT_ROWS_6(rows, RUN)
#undef RUN
}

INLINE void add_spans_to_queries(
    const attention *at, int kind, int32_t rows, int32_t query, int32_t begin, int32_t end) {
    if (begin >= end) return;
#ifdef MR_FLOAT_TILES
    if (kind == FLOATS) {
        add_spans_floats(at, rows, query, begin, end);
        return;
    }
#endif
    (void)kind;
    add_spans_bf16(at, rows, query, begin, end);
}

// Outputs of `rows` queries from `query`: what they see alike is added for all of them at once, and what
// differs, before and after it, for the queries of each row.
INLINE void sum_queries(const attention *at, int kind, int32_t rows, int32_t query) {
    int32_t last = query + rows - 1, joint = 0, joint_end = INT32_MAX;
    int32_t base = at->first_span * MR_SPAN;
    for (int32_t i = query; i <= last; i++) {
        int32_t from = visible_from(at, i) - base, to = position_of(at, i) + 1 - base;
        if ((from + MR_SPAN - 1) / MR_SPAN > joint) joint = (from + MR_SPAN - 1) / MR_SPAN;
        if (to / MR_SPAN < joint_end) joint_end = to / MR_SPAN;
    }
    bool one_row = position_of(at, query) == position_of(at, last);
    if (one_row || joint >= joint_end) joint = joint_end = INT32_MAX;
    for (int32_t i = query, next; i <= last; i = next) {
        for (next = i + 1; next <= last && position_of(at, next) == position_of(at, i);) next++;
        int32_t end = end_seen(at, i);
        add_spans_to_queries(at, kind, next - i, i, first_seen(at, i), joint < end ? joint : end);
    }
    if (joint == joint_end) return;
    add_spans_to_queries(at, kind, rows, query, joint, joint_end);
    for (int32_t i = query, next; i <= last; i = next) {
        for (next = i + 1; next <= last && position_of(at, next) == position_of(at, i);) next++;
        add_spans_to_queries(at, kind, next - i, i, joint_end, end_seen(at, i));
    }
}

INLINE void attend(const mr_attention_tile *tile, int kind) {
    attention at = begin_attention(tile, kind);
    load_queries(&at, kind);
    for (int32_t i = 0; i < at.queries; i += 6) {
        int32_t rows = at.queries - i < 6 ? at.queries - i : 6;
#define RUN(n) score_queries(&at, kind, n, i)
        MR_CONSTANT_ROWS_6(rows, RUN)
#undef RUN
    }
    for (int32_t i = 0; i < at.queries; i++) {
        weigh(&at, kind, i);
        memset(at.sums + (size_t)i * (size_t)at.sums_stride, 0, (size_t)mr_padded_width(tile->head_width) * 4);
    }
    for (int32_t i = 0; i < at.queries; i += 6) {
        sum_queries(&at, kind, at.queries - i < 6 ? at.queries - i : 6, i);
    }
    write_outputs(&at);
}
