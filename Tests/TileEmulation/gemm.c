// Matrix products of the product, on emulated tiles.
#define MR_EMULATED_TILES
#include "gemm_amx.c"
