// How tile registers are divided, and how each thread has them.
#include "tiles.h"

#if defined(__x86_64__)
// Sums in 0...3, left operands in 4 and 5, right ones in 6 and 7; all whole.
const mr_tile_layout mr_tiles_of_products = {
    .palette = 1, .line = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

// Sums in 0...3; whole operands in 4 (left) and 5 (right); operands of only 8 pairs in 6 and 7.
const mr_tile_layout mr_tiles_of_attention = {
    .palette = 1, .line = {64, 64, 64, 64, 64, 64, 32, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 8}};

_Thread_local const mr_tile_layout *mr_tiles_now;
#endif
