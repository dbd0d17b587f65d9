// The engine's insides: the dispatch table that instruction sets fill, and what drivers share.
#pragma once
#include "include/ckernels.h"

enum {
    MR_PANEL = 32, // outputs in a panel of packed weights
    MR_SPAN = 16, // positions in a span of the KV cache: one vector of scores
    MR_TILE_ROWS = 32, // most rows any gemm tile computes at once
    MR_BLOCK_BYTES = 512 * 1024, // most instruction sets' block_bytes, below
    MR_PIECE = 2 << 20, // and their piece_operations
    MR_TILE_QUERIES = 16 // most queries (rows * heads of a group) an attention tile holds
};

enum { MR_FUSED_ROWS = 4 }; // whose products need no widened panel in between

enum { MR_ROW_GRAIN = 8 }; // rows of a thread's share are whole multiples of it, where a row is little work

struct mr_block_type; // dequant.h
struct mr_held_panel; // stored.c

typedef struct mr_pool mr_pool;
mr_pool *mr_pool_create(int32_t threads);
void mr_pool_destroy(mr_pool *pool);
int32_t mr_pool_threads(const mr_pool *pool);
// Runs `count` items, in ranges of no fewer than `grain` but for the last of a thread's share.
void mr_pool_run(mr_pool *pool, int32_t count, int32_t grain, mr_task function, void *context);

// A buffer that grows and never shrinks.
typedef struct {
    void *data;
    size_t bytes;
} mr_buffer;
bool mr_buffer_reserve(mr_buffer *buffer, size_t bytes);
void mr_buffer_free(mr_buffer *buffer);

// How a finished tile of dot products becomes output.
typedef struct {
    const float *bias; // [width] of this panel, or NULL
    bool accumulate;
    float cap; // 0: none
} mr_finish;

// One unit of attention work: consecutive rows of a sequence times the query heads of one kv head.
typedef struct {
    const float *queries; // row 0's first head of the group
    ptrdiff_t query_stride;
    float *outputs; // likewise
    ptrdiff_t output_stride;
    int32_t rows;
    int32_t group; // query heads that share the kv head
    int32_t head_width;
    int32_t position; // of row 0
    int32_t window; // 0: none
    float scale;
    float soft_cap;
    const char *head; // the layer's span 0 for this kv head
    size_t span_bytes; // from one span to the next
    const int32_t *table; // block table of the sequence
    int32_t spans_per_block;
    char *scratch; // MR_ATTENTION_SCRATCH bytes for this tile's context length
} mr_attention_tile;

// Rows of one sequence that attention takes together.
typedef struct {
    int32_t sequence;
    int32_t first; // row of the sequence
    int32_t rows;
} mr_row_tile;

// What is wanted next: cache lines that come from memory while a product is made.
typedef struct {
    const char *from;
    int32_t lines;
} mr_ahead;

// Dot products of a tile of rows and a panel.
typedef struct {
    int32_t rows; // most of a tile
    int32_t step; // tiles begin at multiples of it
    int32_t block_bytes; // of rows that meet a panel at once: they stay in the second-level cache
    // That take about ten microseconds: worth taking, and few enough that threads end together.
    int32_t piece_operations;
    // out [rows][MR_PANEL] = a [rows][inputs] x panel; `a_bytes` from row to row. May read as many rows of `a`, and
    // write as many of `out`, as a tile has at most. Asks memory for about what lies ahead.
    void (*multiply)(
        const void *a, size_t a_bytes, int32_t rows, const void *panel, int32_t inputs, mr_ahead ahead, float *out);
} mr_tile_product;

// What an instruction set provides. Every function computes each row (query, element) the same way whatever
// the others are.
typedef struct {
    // Dot products, by precision of the panels: matrix.c says how those lie.
    mr_tile_product products[MR_PRECISIONS];
    size_t bf16_input_bytes; // of an element of rounded inputs: 2, or 4 where they are widened once for all
                             // panels
    // target[count] = x rounded to bfloat16, in bf16_input_bytes a piece; zero up to an even count, or to whole steps
    // of a product that takes more inputs at once.
    void (*round_inputs)(const float *x, int32_t count, void *target);
    // target[count] = x rounded to bfloat16; zero up to an even count.
    void (*to_bf16)(const float *x, int32_t count, uint16_t *target);
    // A panel of stored weights as products of bfloat16, or of floats, take it: stored.h.
    void (*widen)(const struct mr_block_type *type, const char *panel, int32_t inputs, bool floats, char *target);
    // products[MR_BFLOAT16].multiply of a panel of stored weights, of up to MR_FUSED_ROWS rows, to the same bits; NULL:
    // only by widening it first.
    void (*multiply_stored)(
        const struct mr_block_type *type, const void *a, size_t a_bytes, int32_t rows, const char *panel,
        int32_t inputs, float *out);
    // Turns a row, and rounds a turned one to bytes: bytes.h.
    void (*turn)(const float *x, int32_t count, float *target);
    void (*quantize)(const float *x, int32_t count, void *target);
    // y [rows][width] (+)= tile [rows][MR_PANEL] (+ bias), capped.
    void (*finish)(
        const float *tile, int32_t rows, int32_t width, const mr_finish *how, float *y, ptrdiff_t stride);
    // y = function(gate + gate_bias) * (up + up_bias); biases may be NULL.
    void (*gate)(
        const float *gate, const float *up, int32_t rows, int32_t width, const float *gate_bias,
        const float *up_bias, mr_function function, float *y, ptrdiff_t stride);

    // Rows.
    void (*rms_norm)(const float *x, const float *weight, float epsilon, float *y, int32_t width);
    void (*add_rms_norm)(const float *x, const float *weight, float epsilon, float *y, int32_t width);
    void (*layer_norm)(
        const float *x, const float *weight, const float *bias, float epsilon, float *y, int32_t width);
    void (*activate)(float *x, int32_t width, mr_function function);
    void (*scale)(float *x, float factor, int32_t width);
    // y += x * factor
    void (*add_scaled)(const float *x, float factor, float *y, int32_t width);
    // Rotates the pairs (i, i + pairs) of one head.
    void (*rotate)(float *head, const float *cosines, const float *sines, int32_t pairs);

    // Attention.
    void (*attend_f32)(const mr_attention_tile *tile);
    void (*attend_bf16)(const mr_attention_tile *tile);
    void (*widen_keys)(const int8_t *bytes, const float *scales, int32_t pairs, uint32_t *words);
    void (*widen_values)(const int8_t *bytes, const float *scales, int32_t width, uint32_t *words);

    // Scans of logits, as in ckernels.h.
    int64_t (*argmax)(const float *values, int64_t count);
    float (*maximum)(const float *values, int64_t count);
    double (*sum_exp)(const float *values, int64_t count, float maximum, float scale);
    int64_t (*count_at_least)(const float *values, int64_t count, float threshold);
    int64_t (*indices_at_least)(
        const float *values, int64_t count, float threshold, int32_t *indices, int64_t room);

    // For benchmarks, by precision: `steps` steps of multiplying and adding in registers, returning the operations of
    // one; NULL where there is no such product. And reading memory in order.
    double (*peaks[MR_PRECISIONS])(int64_t steps);
    void (*peak_read)(const char *data, size_t bytes);
} mr_kernels;

// The dispatch table of one instruction set; each fills in its own functions over those of the sets below it.
void mr_kernels_select(mr_isa isa, mr_kernels *kernels);
void mr_gemm_scalar(mr_kernels *kernels);
void mr_rows_scalar(mr_kernels *kernels);
void mr_attention_scalar(mr_kernels *kernels);
void mr_scan_scalar(mr_kernels *kernels);
void mr_bytes_scalar(mr_kernels *kernels);
void mr_peaks_scalar(mr_kernels *kernels);
#if defined(__x86_64__)
void mr_gemm_avx2(mr_kernels *kernels);
void mr_rows_avx2(mr_kernels *kernels);
void mr_attention_avx2(mr_kernels *kernels);
void mr_scan_avx2(mr_kernels *kernels);
void mr_gemm_avx512(mr_kernels *kernels);
void mr_rows_avx512(mr_kernels *kernels);
void mr_attention_avx512(mr_kernels *kernels);
void mr_scan_avx512(mr_kernels *kernels);
void mr_bytes_vnni(mr_kernels *kernels);
void mr_gemm_avx512bf16(mr_kernels *kernels);
void mr_attention_avx512bf16(mr_kernels *kernels);
void mr_gemm_amx(mr_kernels *kernels);
void mr_attention_amx(mr_kernels *kernels);
#endif

struct mr_engine {
    mr_kernels kernels;
    mr_pool *pool;
    bool bf16;
    mr_batch batch;
    mr_buffer inputs; // rounded rows for bf16 linears
    mr_buffer tiles; // attention's tiles of the batch: mr_row_tile[rows]
    mr_buffer attention; // attention scratch, one slice a thread
    size_t attention_slice;
    size_t widened_bytes; // of one position's key and value, where a cache of bytes is widened before use
    int32_t longest; // positions of the batch's longest sequence
    mr_buffer mixture;
    mr_buffer panels; // stored weights widened, two panels a thread
    size_t panel_slice;
    struct mr_held_panel *held; // [2 * threads] which those are
};

struct mr_matrix {
    char *panels;
    size_t bytes;
    size_t *panel_at; // [panel_count + 1] where each begins
    uint64_t number; // in this process, from 1
    int32_t inputs;
    int32_t outputs;
    int32_t panel_count;
    int32_t parts;
    mr_precision precision; // of products
    const struct mr_block_type **stored; // [parts] what the weights of each are stored as; NULL: they are widened
    int32_t *part_outputs; // [parts]
    int32_t *part_panels; // [parts + 1] first panel of each part
    int32_t *panel_outputs; // [panel_count + 1] first output of each panel
};

// Bytes of a row of inputs rounded to bfloat16.
static inline size_t mr_bf16_row(size_t element_bytes, int32_t width) {
    return (((size_t)width + 1) & ~(size_t)1) * element_bytes;
}

// Bytes from one row of rounded inputs to the next: whole cache lines, an odd number of them, so that the
// rows of a tile fall into different sets of the first-level cache.
static inline size_t mr_input_stride(size_t row_bytes) {
    size_t lines = row_bytes / 64 + 1;
    return (lines | 1) * 64;
}

// Bytes from one rounded row to the next.
static inline size_t mr_rounded_row_bytes(const mr_engine *engine, int32_t width) {
    return mr_input_stride(mr_bf16_row(engine->kernels.bf16_input_bytes, width));
}

// Where element `column` of a rounded row lies.
static inline char *mr_rounded_at(const mr_engine *engine, mr_rows rows, int32_t row, int32_t width, int32_t column) {
    return (char *)rows.data + (size_t)row * mr_rounded_row_bytes(engine, width) +
           (size_t)column * engine->kernels.bf16_input_bytes;
}

// Scratch of an attention tile, in floats: scores [MR_TILE_QUERIES][scores stride], then rounded queries and
// accumulators, up to [MR_TILE_QUERIES][MR_MAX_HEAD_WIDTH + 16] each. Rows are an odd number of cache lines, so that
// they fall into different sets of the first-level cache.
static inline int32_t mr_scores_stride(int32_t positions) { return (positions + 63) / 64 * 64 + 16; }
static inline size_t mr_attention_bytes(int32_t positions) {
    return MR_TILE_QUERIES * 4 * ((size_t)mr_scores_stride(positions) + 2 * (MR_MAX_HEAD_WIDTH + 16));
}
