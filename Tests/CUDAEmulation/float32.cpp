// Kernels of a device that computes in float32: see MR_INPUT_BITS in mr.cuh.
#include "instance.h"

#define MR_INPUT_BITS 32

#include "fp8.cuh"

#define mr_rms_norm mr_rms_norm_32
#define mr_add_rms_norm mr_add_rms_norm_32
#define mr_layer_norm mr_layer_norm_32
#define mr_rms_norm_heads mr_rms_norm_heads_32
#define mr_round mr_round_32
#define mr_activate mr_activate_32
#define mr_gate mr_gate_32
#define mr_add_bias mr_add_bias_32
#define mr_soft_cap mr_soft_cap_32
#define mr_gather_rows mr_gather_rows_32
#define mr_take_tokens mr_take_tokens_32
#define mr_rotate_and_store mr_rotate_and_store_32
#define mr_dequantize mr_dequantize_32
#define mr_attention_any mr_attention_any_32

#pragma clang diagnostic ignored "-Wunused-function"

namespace {
#include "attention_any.cu"
#include "elementwise.cu"
#include "tables.cu"
}

EMULATE_INSTANCE(mr_rms_norm);
EMULATE_INSTANCE(mr_add_rms_norm);
EMULATE_INSTANCE(mr_layer_norm);
EMULATE_INSTANCE(mr_rms_norm_heads);
EMULATE_INSTANCE(mr_round);
EMULATE_INSTANCE(mr_activate);
EMULATE_INSTANCE(mr_gate);
EMULATE_INSTANCE(mr_add_bias);
EMULATE_INSTANCE(mr_soft_cap);
EMULATE_INSTANCE(mr_gather_rows);
EMULATE_INSTANCE(mr_take_tokens);
EMULATE_INSTANCE(mr_rotate_and_store);
EMULATE_INSTANCE(mr_dequantize);
EMULATE_INSTANCE(mr_attention_any);

namespace {
#include "gemm_float.cu"
}

EMULATE(mr_gemm_float);
