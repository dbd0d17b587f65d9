#include "instance.h"

#include "attention.cuh"

namespace {
#include "attention_any.cu"
}

EMULATE(mr_attention_any);

#define MR_BLOCK_SIZE 16
#define MR_GROUP 1
#define MR_HEAD_WIDTH 16
#include "attention_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 2
#define MR_HEAD_WIDTH 16
#include "attention_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 4
#define MR_HEAD_WIDTH 16
#include "attention_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 4
#define MR_HEAD_WIDTH 128
#include "attention_instance.h"

#define MR_BLOCK_SIZE 32
#define MR_GROUP 1
#define MR_HEAD_WIDTH 48
#include "attention_instance.h"

#define MR_BLOCK_SIZE 64
#define MR_GROUP 18
#define MR_HEAD_WIDTH 64
#include "attention_instance.h"

#define MR_BLOCK_SIZE 16
#define MR_GROUP 9
#define MR_HEAD_WIDTH 256
#include "attention_instance.h"
