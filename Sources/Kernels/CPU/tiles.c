// How tile registers are divided, and how each thread has them.
#include "tiles.h"

#if defined(__x86_64__)
// Sums in 0...3, left operands in 4 and 5, right ones in 6 and 7; all whole.
const mr_tile_layout mr_tiles_of_products = {
    .palette = 1, .line = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

// Sums in 0...3; whole operands in 4 (left) and 5 (right); operands of only 8 pairs in 6 and 7. As many rows of sums
// and of left operands as there are queries.
#define ATTENTION(q)                                                                                         \
    {.palette = 1, .line = {64, 64, 64, 64, 64, 64, 32, 64}, .rows = {q, q, q, q, q, 16, q, 8}}
const mr_tile_layout mr_tiles_of_attention[MR_TILE_QUERIES] = {
    ATTENTION(1), ATTENTION(2),  ATTENTION(3),  ATTENTION(4),  ATTENTION(5),  ATTENTION(6),
    ATTENTION(7), ATTENTION(8),  ATTENTION(9),  ATTENTION(10), ATTENTION(11), ATTENTION(12),
    ATTENTION(13), ATTENTION(14), ATTENTION(15), ATTENTION(16)};

_Thread_local const mr_tile_layout *mr_tiles_now;
#endif
