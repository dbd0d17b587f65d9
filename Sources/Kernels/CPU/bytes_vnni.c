// Products of bytes by vpdpbusd.
#include "engine.h"
#include "x86.h"
#include <string.h>

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target(MR_TARGET_VNNI))), apply_to = function)
#include "vector_vnni.h"
enum { MAX_ROWS = 12, MAX_COLUMNS = 2 };
#include "product_body.h"
#include "bytes_body.h"
#include "bytes_product_body.h"

// As many sums as hide the time of one.
static double peak_bytes(int64_t steps) {
    enum { SUMS = 24 };
    vf sums[SUMS], a = v_zero();
    vi w = w_set(0x01010101u);
    for (int i = 0; i < SUMS; i++) sums[i] = v_zero();
    for (int64_t s = 0; s < steps; s++) {
        // The compiler must take these for values it does not know, or it would fold the loop.
        __asm__ volatile("" : "+v"(a), "+v"(w));
#pragma clang loop unroll(full)
        for (int i = 0; i < SUMS; i++) sums[i] = v_dot_bytes(sums[i], a, w);
    }
    for (int i = 0; i < SUMS; i++) __asm__ volatile("" : : "v"(sums[i]));
    return 8.0 * LANES * SUMS;
}
#pragma clang attribute pop

void mr_bytes_vnni(mr_kernels *kernels) {
    kernels->turn = turn;
    kernels->quantize = quantize;
    kernels->products[MR_INT8] = (mr_tile_product){MAX_ROWS, 1, MR_BLOCK_BYTES, MR_PIECE, tile_bytes};
    kernels->peaks[MR_INT8] = peak_bytes;
}
#endif
