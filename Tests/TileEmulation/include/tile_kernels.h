// The kernels that use tile instructions, on emulated ones, for machines without AMX.
#pragma once

struct mr_engine;

// Whether this machine can run them: the vector instructions around the tiles are real.
_Bool mr_can_emulate_tiles(void);

// Makes an engine of AVX512BF16 use the kernels of AMX. To be called before any matrix is packed.
void mr_emulate_tiles(struct mr_engine *engine);

// Faults that the instructions would have raised since the last call: a layout that is not one, operands whose
// sizes do not fit each other, a register that is not configured. Any thread's.
int mr_tile_faults(void);
