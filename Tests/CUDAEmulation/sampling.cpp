#include "instructions.h"
#include "mr.cuh"

namespace {
#include "argmax.cu"
#include "sampling.cuh"
#include "sampling.cu"
}  // namespace

EMULATE(mr_argmax);
EMULATE(mr_sample);
EMULATE(mr_score);
