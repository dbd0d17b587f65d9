#include "instructions.h"
#include "mr.cuh"

namespace {
#include "probes.cu"
#include "mistakes.cu"
}  // namespace

EMULATE(probe_tree);
EMULATE(probe_reverse);
EMULATE(probe_warp);
EMULATE(probe_atomics);
EMULATE(probe_mma);
EMULATE(probe_mma_columns);
EMULATE(probe_reduce);
EMULATE(probe_rounding);
EMULATE(probe_last_block);
EMULATE(probe_mistake);
