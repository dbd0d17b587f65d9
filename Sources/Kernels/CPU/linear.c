// Matrix multiplication over packed weights: rounds the inputs once, then walks blocks of rows and panels of
// outputs, tile by tile. Every output is one dot product over all inputs in their order, so that neither the
// number of rows nor the division of work can change it.
#include "bytes.h"
#include "stored.h"

enum { MIN_BLOCK_ROWS = 48 };

typedef struct {
    const mr_engine *engine;
    const mr_matrix *matrix;
    mr_rows x;
    int32_t rows;
    const char *inputs; // rounded rows, or x itself
    size_t input_bytes; // from row to row
    int32_t block_rows;
    int32_t panels; // of one part, if gated
    int32_t pieces; // that the tiles of a block and a panel are divided into
    bool fused; // stored weights are multiplied as they are widened
    const float *bias;
    bool accumulate;
    float cap;
    mr_function function;
    mr_rows y; // rounded only if gated
} linear_job;

static void round_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const linear_job *job = context;
    for (int32_t r = begin; r < end; r++) {
        char *target = (char *)job->engine->inputs.data + (size_t)r * job->input_bytes;
        const float *x = job->x.data + r * job->x.stride;
        job->engine->kernels.round_inputs(x, job->matrix->inputs, target);
    }
}

static void quantize_rows(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const linear_job *job = context;
    _Alignas(64) float turned[MR_MAX_BYTE_INPUTS];
    for (int32_t r = begin; r < end; r++) {
        const mr_kernels *kernels = &job->engine->kernels;
        kernels->turn(job->x.data + r * job->x.stride, job->matrix->inputs, turned);
        kernels->quantize(
            turned, job->matrix->inputs, (char *)job->engine->inputs.data + (size_t)r * job->input_bytes);
    }
}

// Splits `rows` into the fewest tiles, as even as steps allow: tile `index` begins at the returned row.
static inline int32_t
tile_begin(const mr_tile_product *product, int32_t rows, int32_t tiles, int32_t index) {
    int32_t even = (int32_t)((int64_t)rows * index / tiles);
    int32_t begin = (even + product->step - 1) / product->step * product->step;
    return begin < rows ? begin : rows;
}

static inline int32_t tile_count(const mr_tile_product *product, int32_t rows) {
    return (rows + product->rows - 1) / product->rows;
}

static const mr_tile_product *product_of(const linear_job *job) {
    return &job->engine->kernels.products[job->matrix->precision];
}

// Neighbouring tiles of one block of rows, that meet one panel.
typedef struct {
    int32_t panel;
    int32_t first; // row of the block
    int32_t rows; // of the block
    int32_t begin, end, tiles; // from tile to tile, of so many in the block
} piece;

// Item i is piece i % pieces of panel (i / pieces) % panels of block i / pieces / panels: a thread goes on with the
// panel that it has.
static piece piece_at(const linear_job *job, int32_t item) {
    int32_t part = item % job->pieces, panel = item / job->pieces % job->panels;
    int32_t first = item / job->pieces / job->panels * job->block_rows;
    int32_t rows = job->rows - first < job->block_rows ? job->rows - first : job->block_rows;
    int32_t tiles = tile_count(product_of(job), rows);
    return (piece){panel, first, rows, tiles * part / job->pieces, tiles * (part + 1) / job->pieces, tiles};
}

// What a tile asks for of the panel after its own, which mostly is the thread's next. Where a panel as it lies meets
// one tile only, reading it is all there is to wait for, and asking twice costs.
static mr_ahead next_panel(const linear_job *job, piece piece, int32_t tile, int32_t panel) {
    const mr_matrix *matrix = job->matrix;
    if (piece.panel + 1 == job->panels || (piece.tiles == 1 && matrix->stored == NULL)) return (mr_ahead){NULL, 0};
    const size_t *at = &matrix->panel_at[panel + 1];
    int32_t lines = (int32_t)((at[1] - at[0]) / 64);
    int32_t begin = lines * tile / piece.tiles, end = lines * (tile + 1) / piece.tiles;
    return (mr_ahead){matrix->panels + at[0] + (size_t)begin * 64, end - begin};
}

// One tile of a block of rows.
typedef struct {
    int32_t index; // in the block
    int32_t begin; // its first row, of the job
    int32_t rows;
} tile;

static tile tile_at(const linear_job *job, piece piece, int32_t index) {
    const mr_tile_product *product = product_of(job);
    int32_t begin = tile_begin(product, piece.rows, piece.tiles, index);
    int32_t end = tile_begin(product, piece.rows, piece.tiles, index + 1);
    return (tile){index, piece.first + begin, end - begin};
}

// Sums of a tile of the piece: those of its panel of the first part, or of the second (`part` 1).
static void multiply(const linear_job *job, piece piece, tile tile, int32_t part, int32_t thread, float *sums) {
    const mr_matrix *matrix = job->matrix;
    int32_t panel = part * job->panels + piece.panel;
    const char *a = job->inputs + (size_t)tile.begin * job->input_bytes;
    const char *weights = matrix->panels + matrix->panel_at[panel];
    if (job->fused) {
        job->engine->kernels.multiply_stored(
            mr_stored_type(matrix, panel), a, job->input_bytes, tile.rows, weights, matrix->inputs, sums);
        return;
    }
    if (matrix->stored != NULL) weights = mr_widen_panel(job->engine, matrix, panel, thread, part);
    product_of(job)->multiply(
        a, job->input_bytes, tile.rows, weights, matrix->inputs, next_panel(job, piece, tile.index, panel), sums);
}

// A tile's rows of `y` come while its sums are made: each is in lines of its own.
static inline void expect_rows(const float *y, ptrdiff_t stride, int32_t rows) {
    for (int32_t r = 0; r < rows; r++, y += stride) {
        __builtin_prefetch(y, 1);
        __builtin_prefetch(y + MR_PANEL / 2, 1);
    }
}

static void plain_piece(const linear_job *job, piece piece, int32_t thread) {
    const int32_t *outputs = job->matrix->panel_outputs;
    _Alignas(64) float sums[MR_TILE_ROWS * MR_PANEL];
    int32_t output = outputs[piece.panel];
    mr_finish how = {job->bias == NULL ? NULL : job->bias + output, job->accumulate, job->cap};
    for (int32_t t = piece.begin; t < piece.end; t++) {
        tile tile = tile_at(job, piece, t);
        float *y = job->y.data + tile.begin * job->y.stride + output;
        expect_rows(y, job->y.stride, tile.rows);
        multiply(job, piece, tile, 0, thread, sums);
        job->engine->kernels.finish(sums, tile.rows, outputs[piece.panel + 1] - output, &how, y, job->y.stride);
    }
}

// A finished tile, which begins at `row` and `output`, to rounded rows of `width`.
static void round_tile(
    const linear_job *job, const float *tile, int32_t row, int32_t rows, int32_t output, int32_t count, int32_t width) {
    const mr_engine *engine = job->engine;
    for (int32_t r = 0; r < rows; r++, tile += MR_PANEL) {
        engine->kernels.round_inputs(tile, count, mr_rounded_at(engine, job->y, row + r, width, output));
    }
}

static void gated_piece(const linear_job *job, piece piece, int32_t thread) {
    const int32_t *outputs = job->matrix->panel_outputs;
    _Alignas(64) float gate[MR_TILE_ROWS * MR_PANEL];
    _Alignas(64) float up[MR_TILE_ROWS * MR_PANEL];
    int32_t output = outputs[piece.panel], half = job->matrix->outputs / 2;
    int32_t count = outputs[piece.panel + 1] - output;
    const float *gate_bias = job->bias == NULL ? NULL : job->bias + output;
    const float *up_bias = job->bias == NULL ? NULL : gate_bias + half;
    bool rounded = job->y.rounded;
    for (int32_t t = piece.begin; t < piece.end; t++) {
        tile tile = tile_at(job, piece, t);
        float *y = rounded ? gate : job->y.data + tile.begin * job->y.stride + output;
        ptrdiff_t stride = rounded ? MR_PANEL : job->y.stride;
        if (!rounded) expect_rows(y, stride, tile.rows);
        multiply(job, piece, tile, 0, thread, gate);
        multiply(job, piece, tile, 1, thread, up);
        job->engine->kernels.gate(gate, up, tile.rows, count, gate_bias, up_bias, job->function, y, stride);
        if (rounded) round_tile(job, gate, tile.begin, tile.rows, output, count, half);
    }
}

static void run_plain(void *context, int32_t begin, int32_t end, int32_t thread) {
    for (int32_t i = begin; i < end; i++) plain_piece(context, piece_at(context, i), thread);
}

static void run_gated(void *context, int32_t begin, int32_t end, int32_t thread) {
    for (int32_t i = begin; i < end; i++) gated_piece(context, piece_at(context, i), thread);
}

static void run(mr_engine *engine, linear_job *job, mr_task task) {
    mr_precision precision = job->matrix->precision;
    if (job->x.rounded) {
        job->input_bytes = mr_rounded_row_bytes(engine, job->matrix->inputs);
        job->inputs = (const char *)job->x.data;
    } else if (precision != MR_FLOAT32) {
        int32_t inputs = job->matrix->inputs;
        job->input_bytes =
            precision == MR_INT8 ? mr_input_stride(mr_bytes_row(inputs)) : mr_rounded_row_bytes(engine, inputs);
        job->inputs = engine->inputs.data;
        mr_task round = precision == MR_INT8 ? quantize_rows : round_rows;
        mr_pool_run(engine->pool, job->rows, MR_ROW_GRAIN, round, job);
    } else {
        job->input_bytes = (size_t)job->x.stride * 4;
        job->inputs = (const char *)job->x.data;
    }
    job->fused = job->matrix->stored != NULL && precision == MR_BFLOAT16 && job->rows <= MR_FUSED_ROWS &&
                 engine->kernels.multiply_stored != NULL;
    int32_t block = (int32_t)((size_t)product_of(job)->block_bytes / job->input_bytes);
    if (block < MIN_BLOCK_ROWS) block = MIN_BLOCK_ROWS;
    int32_t blocks = (job->rows + block - 1) / block;
    if (blocks < 1) return;
    int32_t even = (job->rows + blocks - 1) / blocks, step = product_of(job)->step;
    job->block_rows = (even + step - 1) / step * step;
    blocks = (job->rows + job->block_rows - 1) / job->block_rows;
    int64_t operations = (int64_t)2 * MR_PANEL * job->matrix->inputs * job->block_rows;
    int32_t tiles = tile_count(product_of(job), job->block_rows);
    int64_t pieces = operations / product_of(job)->piece_operations;
    job->pieces = pieces < 1 ? 1 : pieces < tiles ? (int32_t)pieces : tiles;
    mr_pool_run(engine->pool, job->panels * job->pieces * blocks, 1, task, job);
}

void mr_linear(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias, bool accumulate,
    mr_rows y) {
    linear_job job = {
        .engine = engine,
        .matrix = matrix,
        .x = x,
        .rows = rows,
        .panels = matrix->panel_count,
        .bias = bias,
        .accumulate = accumulate,
        .y = y};
    run(engine, &job, run_plain);
}

void mr_logits(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias, float cap,
    mr_rows y) {
    linear_job job = {
        .engine = engine,
        .matrix = matrix,
        .x = x,
        .rows = rows,
        .panels = matrix->panel_count,
        .bias = bias,
        .cap = cap,
        .y = y};
    run(engine, &job, run_plain);
}

void mr_gated_linear(
    mr_engine *engine, mr_rows x, int32_t rows, const mr_matrix *matrix, const float *bias,
    mr_function function, mr_rows y) {
    linear_job job = {
        .engine = engine,
        .matrix = matrix,
        .x = x,
        .rows = rows,
        .panels = matrix->part_panels[1],
        .bias = bias,
        .function = function,
        .y = y};
    run(engine, &job, run_gated);
}
