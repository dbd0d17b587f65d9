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
#pragma clang attribute pop

void mr_bytes_vnni(mr_kernels *kernels) {
    kernels->turn = turn;
    kernels->quantize = quantize;
    kernels->products[MR_INT8] = (mr_tile_product){MAX_ROWS, 1, MR_BLOCK_BYTES, tile_bytes};
}
#endif
