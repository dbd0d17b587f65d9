// Packed weights: panels of MR_PANEL outputs, each read front to back by the gemm tiles.
//
//   float32:   panel [inputs][MR_PANEL]
//   bfloat16:  panel [ceil(inputs / 2)][MR_PANEL][2], pairs of neighbouring inputs: the operand of
//   two-element dot
//              product instructions, and in slices of 16 outputs that of matrix tile instructions (AMX).
#include "dequant_groups.h"
#include "engine.h"
#include "numbers.h"
#include <stdatomic.h>
#include <stdlib.h>

mr_matrix *mr_matrix_create(mr_engine *engine, int32_t inputs, const int32_t *part_outputs, int32_t parts) {
    mr_matrix *matrix = calloc(1, sizeof *matrix);
    if (matrix == NULL) return NULL;
    matrix->inputs = inputs;
    matrix->parts = parts;
    matrix->bf16 = engine->bf16;
    matrix->part_outputs = calloc((size_t)parts, sizeof(int32_t));
    matrix->part_panels = calloc((size_t)parts + 1, sizeof(int32_t));
    for (int32_t i = 0; i < parts; i++) {
        matrix->panel_count += (part_outputs[i] + MR_PANEL - 1) / MR_PANEL;
        matrix->outputs += part_outputs[i];
    }
    matrix->panel_outputs = calloc((size_t)matrix->panel_count + 1, sizeof(int32_t));
    size_t rows = matrix->bf16 ? ((size_t)inputs + 1) / 2 : (size_t)inputs;
    matrix->panel_bytes = rows * MR_PANEL * 4;
    matrix->bytes = matrix->panel_bytes * (size_t)matrix->panel_count;
    matrix->panels = mr_allocate(matrix->bytes);
    if (!matrix->part_outputs || !matrix->part_panels || !matrix->panel_outputs || !matrix->panels) {
        mr_matrix_destroy(matrix);
        return NULL;
    }
    int32_t panel = 0, output = 0;
    for (int32_t i = 0; i < parts; i++) {
        matrix->part_outputs[i] = part_outputs[i];
        matrix->part_panels[i] = panel;
        for (int32_t at = 0; at < part_outputs[i]; at += MR_PANEL)
            matrix->panel_outputs[panel++] = output + at;
        output += part_outputs[i];
    }
    matrix->part_panels[parts] = panel;
    matrix->panel_outputs[panel] = output;
    return matrix;
}

void mr_matrix_destroy(mr_matrix *matrix) {
    mr_release(matrix->panels, matrix->bytes);
    free(matrix->part_outputs);
    free(matrix->part_panels);
    free(matrix->panel_outputs);
    free(matrix);
}

int32_t mr_matrix_outputs(const mr_matrix *matrix) { return matrix->outputs; }
int32_t mr_matrix_inputs(const mr_matrix *matrix) { return matrix->inputs; }
size_t mr_matrix_bytes(const mr_matrix *matrix) { return matrix->bytes; }

typedef struct {
    mr_matrix *matrix;
    int32_t part;
    const mr_matrix_source *source;
    atomic_bool failed;
} packing;

static void store(const mr_matrix *matrix, char *panel, int32_t input, int32_t lane, float value) {
    if (matrix->bf16) {
        ((uint16_t *)panel)[((size_t)(input / 2) * MR_PANEL + (size_t)lane) * 2 + (input & 1)] =
            mr_f32_to_bf16(value);
    } else {
        ((float *)panel)[(size_t)input * MR_PANEL + (size_t)lane] = value;
    }
}

// Panels begin..<end of the part; stored rows are outputs.
static void pack_panels(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    mr_matrix *matrix = job->matrix;
    const mr_matrix_source *source = job->source;
    float *row = malloc((size_t)matrix->inputs * sizeof(float));
    if (row == NULL) {
        atomic_store(&job->failed, true);
        return;
    }
    int32_t first = matrix->part_panels[job->part], outputs = matrix->part_outputs[job->part];
    for (int32_t p = begin; p < end; p++) {
        char *panel = matrix->panels + (size_t)(first + p) * matrix->panel_bytes;
        for (int32_t lane = 0; lane < MR_PANEL && p * MR_PANEL + lane < outputs; lane++) {
            int32_t output = p * MR_PANEL + lane;
            int32_t at = source->row_order != NULL ? source->row_order[output] : output;
            const char *data = (const char *)source->data + (size_t)at * source->row_bytes;
            if (!mr_dequantize_row(source->type, data, row, matrix->inputs)) atomic_store(&job->failed, true);
            for (int32_t k = 0; k < matrix->inputs; k++) store(matrix, panel, k, lane, row[k]);
        }
    }
    free(row);
}

// Inputs begin..<end of the part; stored rows are inputs.
static void pack_transposed(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    mr_matrix *matrix = job->matrix;
    const mr_matrix_source *source = job->source;
    float *row = malloc((size_t)source->columns * sizeof(float));
    if (row == NULL) {
        atomic_store(&job->failed, true);
        return;
    }
    int32_t first = matrix->part_panels[job->part], outputs = matrix->part_outputs[job->part];
    for (int32_t k = begin; k < end; k++) {
        const char *data = (const char *)source->data + (size_t)k * source->row_bytes;
        if (!mr_dequantize_row(source->type, data, row, source->columns)) atomic_store(&job->failed, true);
        for (int32_t output = 0; output < outputs; output++) {
            int32_t at = source->row_order != NULL ? source->row_order[output] : output;
            char *panel = matrix->panels + (size_t)(first + output / MR_PANEL) * matrix->panel_bytes;
            store(matrix, panel, k, output % MR_PANEL, row[at]);
        }
    }
    free(row);
}

// Panels begin..<end of a part that lies in groups.
static void pack_groups(void *context, int32_t begin, int32_t end, int32_t thread) {
    (void)thread;
    packing *job = context;
    mr_matrix *matrix = job->matrix;
    int32_t first = matrix->part_panels[job->part], outputs = matrix->part_outputs[job->part];
    float column[MR_PANEL];
    for (int32_t p = begin; p < end; p++) {
        char *panel = matrix->panels + (size_t)(first + p) * matrix->panel_bytes;
        int32_t output = p * MR_PANEL, count = outputs - output < MR_PANEL ? outputs - output : MR_PANEL;
        mr_group_walk walk = {.group = -1};
        for (int32_t k = 0; k < matrix->inputs; k++) {
            mr_group_column(job->source->groups, &walk, k, output, count, column);
            for (int32_t lane = 0; lane < count; lane++) store(matrix, panel, k, lane, column[lane]);
        }
    }
}

bool mr_matrix_pack(mr_engine *engine, mr_matrix *matrix, int32_t part, const mr_matrix_source *source) {
    packing job = {.matrix = matrix, .part = part, .source = source};
    int32_t panels = matrix->part_panels[part + 1] - matrix->part_panels[part];
    if (source->groups != NULL) {
        mr_pool_run(engine->pool, panels, 4, pack_groups, &job);
    } else if (source->transposed) {
        mr_pool_run(engine->pool, matrix->inputs, 16, pack_transposed, &job);
    } else {
        mr_pool_run(engine->pool, panels, 4, pack_panels, &job);
    }
    return !atomic_load(&job.failed);
}
