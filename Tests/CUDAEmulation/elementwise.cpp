#include "instructions.h"
#include "fp8.cuh"

namespace {
#include "elementwise.cu"
#include "tables.cu"
}  // namespace

EMULATE(mr_embed);
EMULATE(mr_add_positions);
EMULATE(mr_dequantize);
EMULATE(mr_rms_norm);
EMULATE(mr_add_rms_norm);
EMULATE(mr_layer_norm);
EMULATE(mr_rms_norm_heads);
EMULATE(mr_round);
EMULATE(mr_activate);
EMULATE(mr_gate);
EMULATE(mr_add_bias);
EMULATE(mr_soft_cap);
EMULATE(mr_gather_rows);
EMULATE(mr_take_tokens);
EMULATE(mr_rotate_and_store);
