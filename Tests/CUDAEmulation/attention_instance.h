// One instance of attention.cu, of the shape that MR_BLOCK_SIZE, MR_GROUP and MR_HEAD_WIDTH say; included
// several times.
#define mr_attention_decode INSTANCE3(mr_attention_decode, MR_BLOCK_SIZE, MR_GROUP, MR_HEAD_WIDTH)
#define mr_attention_merge INSTANCE3(mr_attention_merge, MR_BLOCK_SIZE, MR_GROUP, MR_HEAD_WIDTH)
#define mr_attention_prefill INSTANCE3(mr_attention_prefill, MR_BLOCK_SIZE, MR_GROUP, MR_HEAD_WIDTH)

namespace {
#include "attention.cu"
}

EMULATE_INSTANCE(mr_attention_decode);
EMULATE_INSTANCE(mr_attention_merge);
EMULATE_INSTANCE(mr_attention_prefill);

#undef mr_attention_decode
#undef mr_attention_merge
#undef mr_attention_prefill
#undef MR_BLOCK_SIZE
#undef MR_GROUP
#undef MR_HEAD_WIDTH
#undef MR_CACHE_FP8
