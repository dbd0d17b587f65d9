// Packing weights as they are stored, and keeping those panels that were last widened.
#include "stored.h"
#include "numbers.h"
#include <stdlib.h>

// What a thread widened last, in one of its places.
struct mr_held_panel {
    uint64_t matrix; // its number; 0: nothing
    int32_t panel;
};

// One NaN for all, which rounding to bfloat16 leaves one.
static float plain(float x) { return isnan(x) ? mr_from_bits(0x7fc00000) : x; }

static void place_codes(const int8_t *numbers, int32_t count, const uint32_t codes[256], uint32_t *target) {
    for (int32_t n = 0; n < count; n += 8, target += MR_PANEL) {
        *target = 0;
        for (int32_t i = 0; i < 8; i++) *target |= codes[(uint8_t)numbers[n + i]] << (4 * i);
    }
}

void mr_store_output(const mr_block_type *type, const void *row, int32_t inputs, char *panel, int32_t lane) {
    uint32_t codes[256] = {0};
    for (uint32_t i = 0; i < 16 && type->choice != NULL; i++) codes[(uint8_t)type->choice[i]] = i;
    const uint8_t *source = row;
    mr_block block;
    for (int32_t at = 0; at < inputs; at += type->weights, source += type->bytes) {
        type->read(source, &block);
        const int8_t *numbers = block.numbers;
        for (int32_t g = 0; g < type->weights / type->group; g++, numbers += type->group) {
            float *steps = (float *)(void *)panel;
            steps[lane] = plain(block.steps[g]);
            if (type->has_offsets) steps[MR_PANEL + lane] = plain(block.offsets[g]);
            panel += mr_stored_header_bytes(type->has_offsets);
            if (type->choice != NULL)
                place_codes(numbers, type->group, codes, (uint32_t *)(void *)panel + lane);
            else
                for (int32_t i = 0; i < type->group; i++) panel[i * MR_PANEL + lane] = numbers[i];
            panel += mr_stored_number_bytes(mr_stored_bits(type), type->group);
        }
    }
}

double mr_stored_weight_bytes(uint32_t type) {
    const mr_block_type *blocks = mr_block_type_of(type);
    return blocks == NULL ? 0 : (double)mr_stored_panel_bytes(blocks, blocks->weights) / (MR_PANEL * blocks->weights);
}

bool mr_reserve_panels(mr_engine *engine, mr_precision precision, int32_t inputs) {
    size_t slice = (size_t)inputs * MR_PANEL * (precision == MR_BFLOAT16 ? 2 : 4);
    size_t places = 2 * (size_t)mr_pool_threads(engine->pool);
    if (engine->held == NULL) engine->held = calloc(places, sizeof *engine->held);
    if (engine->held == NULL) return false;
    if (slice <= engine->panel_slice) return true;
    if (!mr_buffer_reserve(&engine->panels, slice * places)) return false;
    engine->panel_slice = slice;
    memset(engine->held, 0, places * sizeof *engine->held);
    return true;
}

const mr_block_type *mr_stored_type(const mr_matrix *matrix, int32_t panel) {
    int32_t part = 0;
    while (panel >= matrix->part_panels[part + 1]) part++;
    return matrix->stored[part];
}

const char *mr_widen_panel(
    const mr_engine *engine, const mr_matrix *matrix, int32_t panel, int32_t thread, int32_t place) {
    size_t at = 2 * (size_t)thread + (size_t)place;
    char *target = (char *)engine->panels.data + at * engine->panel_slice;
    struct mr_held_panel *held = &engine->held[at];
    if (held->matrix == matrix->number && held->panel == panel) return target;
    const char *source = matrix->panels + matrix->panel_at[panel];
    engine->kernels.widen(
        mr_stored_type(matrix, panel), source, matrix->inputs, matrix->precision == MR_FLOAT32, target);
    *held = (struct mr_held_panel){matrix->number, panel};
    return target;
}
