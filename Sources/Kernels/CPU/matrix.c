// Packed weights: panels of MR_PANEL outputs, each read front to back by the gemm tiles.
//
//   float32:   panel [inputs][MR_PANEL]
//   bfloat16:  panel [ceil(inputs / MR_INPUT_STEP) * MR_INPUT_STEP / 2][MR_PANEL][2], pairs of neighbouring inputs:
//              the operand of two-element dot product instructions, and in slices of 16 outputs that of tile
//              instructions (AMX)
//   int8:      bytes.h
//   stored:    stored.h; widened to one of the first two when they are used
#include "bytes.h"
#include "dequant_groups.h"
#include "engine.h"
#include "numbers.h"
#include "stored.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static size_t panel_bytes(mr_precision precision, int32_t inputs) {
    size_t count = (size_t)inputs;
    switch (precision) {
    case MR_FLOAT32: return count * MR_PANEL * 4;
    case MR_BFLOAT16: return (count + MR_INPUT_STEP - 1) / MR_INPUT_STEP * MR_INPUT_STEP / 2 * MR_PANEL * 4;
    case MR_INT8: return mr_bytes_panel(inputs);
    case MR_PRECISIONS: break;
    }
    return 0;
}

bool mr_is_stored(uint32_t type) { return mr_block_type_of(type) != NULL; }

// Where the panels of each part lie. False: no memory.
static bool place_panels(mr_matrix *matrix, const int32_t *part_outputs) {
    int32_t panel = 0, output = 0;
    for (int32_t i = 0; i < matrix->parts; i++) {
        size_t bytes = matrix->stored == NULL ? panel_bytes(matrix->precision, matrix->inputs)
                                              : mr_stored_panel_bytes(matrix->stored[i], matrix->inputs);
        matrix->part_outputs[i] = part_outputs[i];
        matrix->part_panels[i] = panel;
        for (int32_t at = 0; at < part_outputs[i]; at += MR_PANEL) {
            matrix->panel_at[panel] = matrix->bytes;
            matrix->panel_outputs[panel++] = output + at;
            matrix->bytes += bytes;
        }
        output += part_outputs[i];
    }
    matrix->part_panels[matrix->parts] = panel;
    matrix->panel_at[panel] = matrix->bytes;
    matrix->panel_outputs[panel] = output;
    matrix->panels = mr_allocate(matrix->bytes);
    return matrix->panels != NULL;
}

mr_matrix *mr_matrix_create(
    mr_engine *engine, mr_precision precision, int32_t inputs, const int32_t *part_outputs, int32_t parts,
    const uint32_t *stored) {
    static atomic_ullong count;
    for (int32_t i = 0; i < parts && stored != NULL; i++) {
        if (precision == MR_INT8 || !mr_is_stored(stored[i])) return NULL;
    }
    if (stored != NULL && !mr_reserve_panels(engine, precision, inputs)) return NULL;
    mr_matrix *matrix = calloc(1, sizeof *matrix);
    if (matrix == NULL) return NULL;
    matrix->number = atomic_fetch_add(&count, 1) + 1;
    matrix->inputs = inputs;
    matrix->parts = parts;
    matrix->precision = precision;
    matrix->part_outputs = calloc((size_t)parts, sizeof(int32_t));
    matrix->part_panels = calloc((size_t)parts + 1, sizeof(int32_t));
    if (stored != NULL) matrix->stored = calloc((size_t)parts, sizeof *matrix->stored);
    for (int32_t i = 0; i < parts; i++) {
        matrix->panel_count += (part_outputs[i] + MR_PANEL - 1) / MR_PANEL;
        matrix->outputs += part_outputs[i];
        if (matrix->stored != NULL) matrix->stored[i] = mr_block_type_of(stored[i]);
    }
    matrix->panel_outputs = calloc((size_t)matrix->panel_count + 1, sizeof(int32_t));
    matrix->panel_at = calloc((size_t)matrix->panel_count + 1, sizeof(size_t));
    bool made = matrix->part_outputs && matrix->part_panels && matrix->panel_outputs && matrix->panel_at &&
                (stored == NULL || matrix->stored != NULL) && place_panels(matrix, part_outputs);
    if (made) return matrix;
    mr_matrix_destroy(matrix);
    return NULL;
}

void mr_matrix_destroy(mr_matrix *matrix) {
    mr_release(matrix->panels, matrix->bytes);
    free(matrix->part_outputs);
    free(matrix->part_panels);
    free(matrix->panel_outputs);
    free(matrix->panel_at);
    free(matrix->stored);
    free(matrix);
}

int32_t mr_matrix_outputs(const mr_matrix *matrix) { return matrix->outputs; }
int32_t mr_matrix_inputs(const mr_matrix *matrix) { return matrix->inputs; }
size_t mr_matrix_bytes(const mr_matrix *matrix) { return matrix->bytes; }

typedef struct {
    const mr_engine *engine;
    mr_matrix *matrix;
    int32_t part;
    const mr_matrix_source *source;
    atomic_bool failed;
} packing;

// A stored row as it is placed into panels: `inputs` floats, and the same rounded or turned.
typedef struct {
    float *values;
    uint16_t *rounded;
    float *turned;
} row_scratch;

static bool row_scratch_create(row_scratch *scratch, int32_t count) {
    scratch->values = malloc((size_t)count * sizeof(float));
    scratch->rounded = malloc(((size_t)count + 1) * sizeof(uint16_t));
    scratch->turned = malloc((size_t)count * sizeof(float));
    return scratch->values != NULL && scratch->rounded != NULL && scratch->turned != NULL;
}

static void row_scratch_free(row_scratch *scratch) {
    free(scratch->values);
    free(scratch->rounded);
    free(scratch->turned);
}

// Rounds one output's turned weights to bytes and places them.
static void quantize_output(const mr_matrix *matrix, char *panel, int32_t lane, const row_scratch *row) {
    int8_t *bytes = (int8_t *)row->rounded;
    float scale = mr_round_row(row->turned, matrix->inputs, bytes);
    int32_t sum = 0;
    for (int32_t i = 0; i < matrix->inputs; i++) {
        ((int8_t *)panel)[(i / 4 * MR_PANEL + lane) * 4 + i % 4] = bytes[i];
        sum += bytes[i];
    }
    char *tail = panel + mr_byte_inputs(matrix->inputs) * MR_PANEL;
    ((int32_t *)(void *)tail)[lane] = -128 * sum;
    ((float *)(void *)tail)[MR_PANEL + lane] = scale;
}

// All inputs of one output: one word (a float32, or two bfloat16) to each row of the panel; or bytes.
static void place_output(const packing *job, char *panel, int32_t lane, const row_scratch *row) {
    const mr_matrix *matrix = job->matrix;
    const void *source = row->values;
    int32_t words = matrix->inputs;
    if (matrix->precision == MR_BFLOAT16) {
        job->engine->kernels.to_bf16(row->values, matrix->inputs, row->rounded);
        source = row->rounded;
        words = (matrix->inputs + 1) / 2;
    } else if (matrix->precision == MR_INT8) {
        job->engine->kernels.turn(row->values, matrix->inputs, row->turned);
        quantize_output(matrix, panel, lane, row);
        return;
    }
    char *target = panel + (size_t)lane * 4;
    for (int32_t i = 0; i < words; i++) {
        memcpy(target + (size_t)i * MR_PANEL * 4, (const char *)source + (size_t)i * 4, 4);
    }
}

// The row of the checkpoint that holds an output of the part.
static const char *row_of(const packing *job, int32_t output) {
    const mr_matrix_source *source = job->source;
    int32_t at = source->row_order != NULL ? source->row_order[output] : output;
    return (const char *)source->data + (size_t)at * source->row_bytes;
}

// A panel of the part.
static char *panel_of(const packing *job, int32_t panel) {
    return job->matrix->panels + job->matrix->panel_at[job->matrix->part_panels[job->part] + panel];
}

// Panels begin..<end of the part, as they are stored.
static void pack_stored(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    const packing *job = context;
    int32_t outputs = job->matrix->part_outputs[job->part];
    for (int32_t output = begin * MR_PANEL; output < end * MR_PANEL && output < outputs; output++) {
        mr_store_output(
            job->matrix->stored[job->part], row_of(job, output), job->matrix->inputs, panel_of(job, output / MR_PANEL),
            output % MR_PANEL);
    }
}

// Panels begin..<end of the part; stored rows are outputs.
static void pack_panels(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    mr_matrix *matrix = job->matrix;
    const mr_matrix_source *source = job->source;
    row_scratch row;
    int32_t outputs = matrix->part_outputs[job->part];
    if (!row_scratch_create(&row, matrix->inputs)) atomic_store(&job->failed, true);
    for (int32_t p = begin; p < end && !atomic_load(&job->failed); p++) {
        for (int32_t lane = 0; lane < MR_PANEL && p * MR_PANEL + lane < outputs; lane++) {
            const char *data = row_of(job, p * MR_PANEL + lane);
            if (!mr_dequantize_row(source->type, data, row.values, matrix->inputs))
                atomic_store(&job->failed, true);
            place_output(job, panel_of(job, p), lane, &row);
        }
    }
    row_scratch_free(&row);
}

// Where a panel has one weight.
static float *float_at(char *panel, int32_t input, int32_t lane) {
    return (float *)panel + (size_t)input * MR_PANEL + (size_t)lane;
}
static uint16_t *bf16_at(char *panel, int32_t input, int32_t lane) {
    size_t word = (size_t)(input / 2) * MR_PANEL + (size_t)lane;
    return (uint16_t *)panel + word * 2 + (size_t)(input & 1);
}

// One input of all outputs of the part.
static void place_input(const packing *job, int32_t input, const row_scratch *row) {
    const mr_matrix *matrix = job->matrix;
    const int32_t *order = job->source->row_order;
    int32_t outputs = matrix->part_outputs[job->part];
    bool bf16 = matrix->precision == MR_BFLOAT16;
    if (bf16) job->engine->kernels.to_bf16(row->values, job->source->columns, row->rounded);
    for (int32_t output = 0; output < outputs; output++) {
        int32_t at = order != NULL ? order[output] : output, lane = output % MR_PANEL;
        char *panel = panel_of(job, output / MR_PANEL);
        if (bf16)
            *bf16_at(panel, input, lane) = row->rounded[at];
        else
            *float_at(panel, input, lane) = row->values[at];
    }
}

// Inputs begin..<end of the part; stored rows are inputs.
static void pack_transposed(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    const mr_matrix_source *source = job->source;
    row_scratch row;
    if (!row_scratch_create(&row, source->columns)) atomic_store(&job->failed, true);
    for (int32_t k = begin; k < end && !atomic_load(&job->failed); k++) {
        const char *data = (const char *)source->data + (size_t)k * source->row_bytes;
        if (!mr_dequantize_row(source->type, data, row.values, source->columns))
            atomic_store(&job->failed, true);
        place_input(job, k, &row);
    }
    row_scratch_free(&row);
}

// Panels begin..<end of a part that lies in groups.
static void pack_groups(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    mr_matrix *matrix = job->matrix;
    int32_t outputs = matrix->part_outputs[job->part];
    float column[MR_PANEL];
    for (int32_t p = begin; p < end; p++) {
        char *panel = panel_of(job, p);
        int32_t output = p * MR_PANEL, count = outputs - output < MR_PANEL ? outputs - output : MR_PANEL;
        mr_group_walk walk = {.group = -1};
        for (int32_t k = 0; k < matrix->inputs; k++) {
            mr_group_column(job->source->groups, &walk, k, output, count, column);
            for (int32_t lane = 0; lane < count; lane++) {
                if (matrix->precision == MR_BFLOAT16)
                    *bf16_at(panel, k, lane) = mr_f32_to_bf16(column[lane]);
                else
                    *float_at(panel, k, lane) = column[lane];
            }
        }
    }
}

bool mr_matrix_pack(mr_engine *engine, mr_matrix *matrix, int32_t part, const mr_matrix_source *source) {
    packing job = {.engine = engine, .matrix = matrix, .part = part, .source = source};
    int32_t panels = matrix->part_panels[part + 1] - matrix->part_panels[part];
    bool lies_by_outputs = !source->transposed && source->groups == NULL;
    if (!lies_by_outputs && (matrix->precision == MR_INT8 || matrix->stored != NULL)) return false;
    if (matrix->stored != NULL) {
        if (mr_block_type_of(source->type) != matrix->stored[part]) return false;
        mr_pool_run(engine->pool, panels, 4, pack_stored, &job);
    } else if (source->groups != NULL) {
        mr_pool_run(engine->pool, panels, 4, pack_groups, &job);
    } else if (source->transposed) {
        mr_pool_run(engine->pool, matrix->inputs, 16, pack_transposed, &job);
    } else {
        mr_pool_run(engine->pool, panels, 4, pack_panels, &job);
    }
    return !atomic_load(&job.failed);
}
