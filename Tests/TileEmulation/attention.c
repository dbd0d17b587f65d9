// Attention of the product, on emulated tiles.
#define MR_EMULATED_TILES
#include "attention_amx.c"
