// One instance of attention.cu over a cache of 8-bit floats, as attention_instance.h; included by attention_fp8.cpp.
namespace {
#include "attention.cu"
}

EMULATE_INSTANCE(mr_attention_decode);
EMULATE_INSTANCE(mr_attention_merge);
EMULATE_INSTANCE(mr_attention_prefill);

#undef MR_BLOCK_SIZE
#undef MR_GROUP
#undef MR_HEAD_WIDTH
