// CPU kernels of Millrace: what the Swift seam (CPUDevice) calls.
//
// Conventions. Activations are float32 rows; `stride` is the distance between rows in floats. Sizes and
// indices are int32_t unless they count bytes. Nothing here allocates during a step, except the explicit
// `reserve` functions, which only ever grow. A result row depends on its own inputs alone, bit for bit: never
// on the number of rows, on tiling, or on the number of threads. All pointers must be valid; callers check
// shapes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---- Instruction sets
// -----------------------------------------------------------------------------------------

// In rising order of preference.
typedef enum {
    MR_ISA_SCALAR = 0,
    MR_ISA_AVX2, // AVX2, FMA, F16C
    MR_ISA_AVX512, // AVX-512 F, BW, DQ, VL
    MR_ISA_AVX512BF16, // the same and AVX512_BF16
    MR_ISA_AMX, // the same, AVX512_VNNI, and AMX with bfloat16
    MR_ISA_COUNT
} mr_isa;

// "scalar", "avx2", "avx512", "avx512bf16", "amx": the names that MILLRACE_ISA takes.
const char *mr_isa_name(mr_isa isa);
// Whether this CPU (and this build) can run it.
bool mr_isa_supported(mr_isa isa);
// Whether it multiplies bfloat16 in hardware, so that bfloat16 is the faster compute type for every shape.
bool mr_isa_multiplies_bf16(mr_isa isa);
// CPUs this process may run on.
int32_t mr_online_cpus(void);

// ---- Memory
// ---------------------------------------------------------------------------------------------------

// Zeroed memory, aligned to 64 bytes, committed page by page as it is touched; NULL when there is none.
void *mr_allocate(size_t bytes);
// Frees what mr_allocate returned for the same size.
void mr_release(void *memory, size_t bytes);

// ---- Engine: a thread pool, the chosen kernels and scratch
// ----------------------------------------------------

typedef struct mr_engine mr_engine;

// NULL when threads or memory cannot be had. `bf16`: round matrix inputs, weights, keys and values to
// bfloat16.
mr_engine *mr_engine_create(mr_isa isa, bool bf16, int32_t threads);
void mr_engine_destroy(mr_engine *engine);

// A span of rows of one sequence in the packed batch.
typedef struct {
    int32_t first_row;
    int32_t row_count;
    int32_t start; // position of first_row
    int32_t table_offset; // into the batch's block tables
} mr_sequence;

// One step's indices; arrays stay the caller's and must live until the next begin.
typedef struct {
    int32_t rows;
    const int32_t *tokens; // [rows]
    const int32_t *positions; // [rows]
    const int32_t *slots; // [rows] block * block size + offset
    int32_t sequence_count;
    const mr_sequence *sequences;
    const int32_t *block_tables;
    const int32_t *logit_rows;
} mr_batch;

// Sets the batch for the calls that follow. False: no memory for scratch.
bool mr_engine_begin(mr_engine *engine, const mr_batch *batch);
// Makes room to round inputs of `rows` rows of `width`. False: no memory.
bool mr_engine_reserve_inputs(mr_engine *engine, int32_t rows, int32_t width);

// Calls function(context, begin, end, thread) on disjoint ranges that cover 0..<count, on all threads;
// threads' shares are multiples of `grain`. For tests and for Swift code that wants the pool.
typedef void (*mr_task)(void *context, int32_t begin, int32_t end, int32_t thread);
void mr_engine_parallel(mr_engine *engine, int32_t count, int32_t grain, mr_task function, void *context);

// ---- Checkpoint rows
// ------------------------------------------------------------------------------------------

// Writes `columns` floats of one stored row. `type` is GGUF's type id. False: type unknown.
bool mr_dequantize_row(uint32_t type, const void *source, float *target, int64_t columns);

// Weights in GPTQ's or AWQ's groups: see GroupedWeights.swift for what lies where.
typedef struct {
    const uint32_t *numbers;
    const uint32_t *zeros;
    const void *scales; // [groups, outputs]
    uint32_t scale_type; // GGUF's type id: 0, 1 or 30
    const int32_t *group_of; // [inputs]
    int32_t outputs;
    int32_t inputs;
    int32_t bits; // 4 or 8
    bool awq;
    uint32_t zero_offset; // added to words of zeros
} mr_groups;

// Writes all weights, [outputs, inputs].
void mr_dequantize_groups(const mr_groups *groups, float *out);

// ---- Matrices
// -------------------------------------------------------------------------------------------------

// Weights [outputs, inputs] in panels of 32 outputs; each part starts at a panel of its own.
typedef struct mr_matrix mr_matrix;

// How weights are kept: float32; bfloat16; or bytes with a scale for each output, whose products round each row of
// inputs to bytes, too, with a scale of its own (bytes.h). Of at most MR_MAX_BYTE_INPUTS inputs: exact sums stay in 32
// bits.
enum { MR_MAX_BYTE_INPUTS = 1 << 15 };
typedef enum { MR_FLOAT32 = 0, MR_BFLOAT16, MR_INT8, MR_PRECISIONS } mr_precision;

// Whether this CPU multiplies bytes by this instruction set.
bool mr_isa_multiplies_bytes(mr_isa isa);

// `stored`: GGUF's type id of each part, of types of blocks (mr_is_stored), whose weights stay as they are until a
// product widens them to `precision`, float32 or bfloat16; or NULL. Products are the engine's that made it.
// NULL: no memory, or another type or precision.
mr_matrix *mr_matrix_create(
    mr_engine *engine, mr_precision precision, int32_t inputs, const int32_t *part_outputs, int32_t parts,
    const uint32_t *stored);
// Whether weights of a type may stay as they are stored.
bool mr_is_stored(uint32_t type);
// Bytes that one takes then, its part of a group's steps and offsets included.
double mr_stored_weight_bytes(uint32_t type);
void mr_matrix_destroy(mr_matrix *matrix);
int32_t mr_matrix_outputs(const mr_matrix *matrix);
int32_t mr_matrix_inputs(const mr_matrix *matrix);
size_t mr_matrix_bytes(const mr_matrix *matrix);

typedef struct {
    uint32_t type;
    const void *data;
    size_t row_bytes;
    int32_t rows;
    int32_t columns;
    bool transposed; // stored [inputs, outputs]
    const int32_t *row_order; // stored row (column if transposed) of each output; NULL: as it lies
    const mr_groups *groups; // the weights instead of all the above, or NULL
} mr_matrix_source;

// Dequantizes, rounds and repacks one part, in parallel. False: no scratch memory, or type unknown. Matrices of bytes
// take no transposed sources; stored ones rows of the type that they were made for, too.
bool mr_matrix_pack(mr_engine *engine, mr_matrix *matrix, int32_t part, const mr_matrix_source *source);

// ---- A step
// ---------------------------------------------------------------------------------------------------

typedef enum { MR_SILU = 0, MR_GELU_TANH, MR_GELU, MR_RELU } mr_function;

// Products of bfloat16 take inputs up to a multiple of this, zeros at the end.
enum { MR_INPUT_STEP = 32 };
// Widest row that is rounded where it is made.
enum { MR_MAX_ROUNDED_WIDTH = 1 << 15 };

// Float32 rows; or, `rounded`, rows that only products read, as these take them. Their width is a multiple of
// MR_INPUT_STEP, and so is what threads write of it.
typedef struct {
    float *data;
    ptrdiff_t stride; // of float32 rows
    bool rounded;
} mr_rows;

// Of `rows` rounded rows, with room after them for what products read beyond.
size_t mr_rounded_bytes(const mr_engine *engine, int32_t rows, int32_t width);
// Widens one, for tests.
void mr_widen_row(const mr_engine *engine, mr_rows rows, int32_t row, int32_t width, float *target);

typedef struct {
    uint32_t type;
    const void *data;
    size_t row_bytes;
    int32_t columns;
} mr_table;

// Norms, embeddings and element-wise operations over rows 0..<batch.rows.
void mr_embed(mr_engine *engine, const mr_table *table, float scale, mr_rows x);
void mr_add_positions(mr_engine *engine, const mr_table *table, int32_t offset, mr_rows x);
void mr_rms_norm(mr_engine *engine, mr_rows x, const float *weight, float epsilon, mr_rows y, int32_t width);
void mr_add_rms_norm(
    mr_engine *engine, mr_rows y, const float *weight, float epsilon, mr_rows x, int32_t width);
void mr_layer_norm(
    mr_engine *engine, mr_rows x, const float *weight, const float *bias, float epsilon, mr_rows y,
    int32_t width);
void mr_activate(mr_engine *engine, mr_rows x, int32_t width, mr_function function);
void mr_rms_norm_heads(
    mr_engine *engine, mr_rows x, int32_t first_head, int32_t heads, int32_t head_width, const float *weight,
    float epsilon);
void mr_gather_logit_rows(
    mr_engine *engine, mr_rows x, int32_t first, int32_t count, mr_rows y, int32_t width);

// y = x W^T + bias (bias may be NULL), or y += that. Over `rows` rows.
void mr_linear(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias, bool accumulate,
    mr_rows y);
// The same, capped: cap * tanh(y / cap) where cap > 0.
void mr_logits(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias, float cap,
    mr_rows y);
// W of two parts of equal outputs, [gate; up]: y = function(x gate^T + b) * (x up^T + b).
void mr_gated_linear(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias,
    mr_function function, mr_rows y);

typedef struct {
    int32_t experts;
    int32_t chosen;
    bool renormalise;
    mr_function function;
} mr_mixture_shape;

// False: no memory for scratch (first call of a size only).
bool mr_add_mixture(
    mr_engine *engine, mr_rows x, const mr_matrix *router, const mr_matrix *const *gate_up,
    const mr_matrix *const *down, const mr_mixture_shape *shape, mr_rows y);

// Widest head that attention takes.
enum { MR_MAX_HEAD_WIDTH = 1024 };

// What keys and values are rounded to. Bytes, each position's with a scale of its own, are for engines of bfloat16.
typedef enum { MR_CACHE_FLOAT32 = 0, MR_CACHE_BFLOAT16, MR_CACHE_INT8 } mr_cache_type;

// Paged keys and values: [layer][block of 16 positions][kv head][keys, values]; see cache.h for what a head
// holds.
typedef struct {
    void *data;
    mr_cache_type type;
    int32_t layers;
    int32_t blocks; // of block_size positions
    int32_t block_size; // a multiple of 16
    int32_t kv_heads;
    int32_t head_width;
} mr_cache;

// Bytes of one block of block_size positions over all layers.
size_t mr_cache_block_bytes(const mr_cache *shape);

// Has the engine's steps make room for what reading this cache takes.
void mr_engine_use_cache(mr_engine *engine, const mr_cache *cache);

// Has the system supply the memory of blocks first..<end in all layers, by all threads at once: a thread that comes
// upon new memory while it stores keys would have the others wait. Returns the end of the blocks that are there
// afterwards, which is further on: memory comes in large pages.
int32_t mr_supply_blocks(mr_engine *engine, const mr_cache *cache, int32_t first, int32_t end);

// Stores NaN as every key and value of the blocks, for tests.
void mr_poison_blocks(const mr_engine *engine, const mr_cache *cache, int32_t first, int32_t count);

typedef struct {
    const float *cosines; // [positions][pairs]
    const float *sines; // [positions][pairs]
    int32_t pairs; // rotated pairs (i, i + pairs) of a head; 0: none
} mr_rotation;

void mr_rotate_and_store(
    mr_engine *engine, mr_rows qkv, int32_t query_heads, const mr_rotation *rotation, const mr_cache *cache,
    int32_t layer);

typedef struct {
    int32_t query_heads;
    float scale;
    int32_t window; // 0: sees all positions
    float soft_cap; // 0: none
} mr_attention_shape;

void mr_attention(
    mr_engine *engine, mr_rows qkv, const mr_cache *cache, int32_t layer, const mr_attention_shape *shape,
    mr_rows y);

// ---- Rows of logits
// -------------------------------------------------------------------------------------------

// These use one thread, and the given instruction set, which must be supported.

// First index of the largest value; NaN never wins; -1 when every value is NaN or count is 0.
int64_t mr_argmax(mr_isa isa, const float *values, int64_t count);
// Largest value that is not NaN; -INFINITY when there is none.
float mr_maximum(mr_isa isa, const float *values, int64_t count);
// log(sum(exp(values))) with the sum in double; NaN values make it NaN.
double mr_log_sum_exp(mr_isa isa, const float *values, int64_t count);
// sum(exp((values - maximum) * scale)) with the sum in double; maximum is finite and no value exceeds it.
double mr_sum_exp(mr_isa isa, const float *values, int64_t count, float maximum, float scale);
// How many values are >= threshold.
int64_t mr_count_at_least(mr_isa isa, const float *values, int64_t count, float threshold);
// Writes up to `room` indices of values >= threshold, ascending; returns how many there are in all.
int64_t mr_indices_at_least(
    mr_isa isa, const float *values, int64_t count, float threshold, int32_t *indices, int64_t room);

// ---- Peaks, for benchmarks
// -------------------------------------------------------------------------------------------

// All threads multiply and add in registers; returns the operations done, 0 where there is no such product.
double mr_peak_multiply(mr_engine *engine, mr_precision precision, int64_t steps);
// All threads read the buffer in order; returns the bytes read.
size_t mr_peak_read(mr_engine *engine, const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
