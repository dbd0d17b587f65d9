// Attention over a cache of 8-bit floats, and what writes it.
#include "instance.h"

#include "attention.cuh"

#define MR_CACHE_FP8 1
#define mr_attention_any mr_attention_any_1
#define mr_rotate_and_store mr_rotate_and_store_1

// Only what depends on the cache is wanted of these.
#pragma clang diagnostic ignored "-Wunused-function"

namespace {
#include "attention_any.cu"
#include "elementwise.cu"
}

EMULATE_INSTANCE(mr_attention_any);
EMULATE_INSTANCE(mr_rotate_and_store);

#define mr_attention_decode INSTANCE4(mr_attention_decode, MR_BLOCK_SIZE, MR_CACHE_FP8, MR_GROUP, MR_HEAD_WIDTH)
#define mr_attention_merge INSTANCE4(mr_attention_merge, MR_BLOCK_SIZE, MR_CACHE_FP8, MR_GROUP, MR_HEAD_WIDTH)
#define mr_attention_prefill INSTANCE4(mr_attention_prefill, MR_BLOCK_SIZE, MR_CACHE_FP8, MR_GROUP, MR_HEAD_WIDTH)

#define MR_BLOCK_SIZE 16
#define MR_GROUP 4
#define MR_HEAD_WIDTH 128
#include "attention_fp8_instance.h"

#define MR_BLOCK_SIZE 32
#define MR_GROUP 1
#define MR_HEAD_WIDTH 48
#include "attention_fp8_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 9
#define MR_HEAD_WIDTH 256
#include "attention_fp8_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 1
#define MR_HEAD_WIDTH 16
#include "attention_fp8_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 2
#define MR_HEAD_WIDTH 16
#include "attention_fp8_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 4
#define MR_HEAD_WIDTH 16
#include "attention_fp8_instance.h"
