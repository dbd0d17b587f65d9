// Panels whose weights stay the small whole numbers that the checkpoint has, and become what products take when a
// thread needs them: the very bits that they would have been packed as (any NaN is one).
//
//   panel:  groups of inputs, one after another
//   group:  float32 steps [MR_PANEL]; float32 offsets [MR_PANEL], if the type has any; numbers: 8 bits each, signed,
//           [inputs][MR_PANEL]; or 4 bits each, the place of one in the type's choice, in 32-bit words
//           [inputs / 8][MR_PANEL], the first input in the lowest bits
#pragma once
#include "dequant.h"

static inline int32_t mr_stored_bits(const mr_block_type *type) { return type->choice != NULL ? 4 : 8; }

// Of a group, before its numbers.
static inline size_t mr_stored_header_bytes(bool has_offsets) { return MR_PANEL * 4 * (has_offsets ? 2 : 1); }

// Of `count` inputs' numbers.
static inline size_t mr_stored_number_bytes(int32_t bits, int32_t count) {
    return (size_t)count * MR_PANEL * (size_t)bits / 8;
}

static inline size_t mr_stored_panel_bytes(const mr_block_type *type, int32_t inputs) {
    return (size_t)(inputs / type->group) * mr_stored_header_bytes(type->has_offsets) +
           mr_stored_number_bytes(mr_stored_bits(type), inputs);
}

// Places one output's row of blocks in a panel.
void mr_store_output(const mr_block_type *type, const void *row, int32_t inputs, char *panel, int32_t lane);

// Room for two panels a thread of `inputs` inputs, widened to a precision. False: no memory.
bool mr_reserve_panels(mr_engine *engine, mr_precision precision, int32_t inputs);

// The type of a panel's weights.
const mr_block_type *mr_stored_type(const mr_matrix *matrix, int32_t panel);

// A panel of stored weights as products take it, in the thread's place 0 or 1; valid until that is used again.
const char *mr_widen_panel(
    const mr_engine *engine, const mr_matrix *matrix, int32_t panel, int32_t thread, int32_t place);
