// A small model of a CUDA device on the CPU, for tests: runs the kernels of Sources/Kernels/CUDA from the same source.
//
// Threads of a block are fibers, run one after another up to a barrier or a warp-wide operation; blocks run one after
// another. One launch at a time; calls from several threads wait for each other. What it cannot show: speed, registers,
// memory-order races between blocks, the exact rounding of tensor cores and of approximate instructions.
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Runs a kernel to its end; `args` as for cuLaunchKernel: a pointer to each argument. `sharedBytes` is the dynamic
/// shared memory. Returns 0, or 1 with the reason in `mr_emulation_error`: an unknown kernel, a launch no device
/// accepts, threads that wait for ever, an access outside of a buffer of `mr_emulation_allocate`.
int mr_emulate(
    const char *kernel, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
    unsigned blockZ, unsigned sharedBytes, void **args);

/// Whether there is a kernel of this name.
int mr_emulation_has(const char *kernel);

/// Why the calling thread's last call failed; empty when it did not. Valid until its next call.
const char *mr_emulation_error(void);

/// The order in which ready threads of a block run, for launches of the calling thread: 0 ascending, 1 descending,
/// other values shuffle by that seed. A missing barrier goes unnoticed in some orders, so tests use several.
void mr_emulation_order(unsigned seed);

/// Device memory: 256-byte aligned, filled with 0xff (NaN as float32, bfloat16 and float64), between pages that nothing
/// may touch. NULL when the system has no memory.
void *mr_emulation_allocate(size_t bytes);
void mr_emulation_free(void *buffer);

#ifdef __cplusplus
}
#endif
