// Tile instructions (AMX) and the two ways this program divides their eight registers.
//
// A register holds up to 16 rows of 64 bytes. A product adds to a tile of 16 x 16 float32 the product of 16 rows of
// pairs of bfloat16 and as many rows of pairs of 16 outputs: the very words that panels (matrix.c) and spans of the
// cache (cache.h) are made of. Another one adds to 16 x 16 whole numbers the product of rows of unsigned bytes and rows
// of four signed bytes of 16 outputs (bytes.h). Each row of the left operand gives its own row of sums, whatever the
// others hold, and adds in ascending order: results do not depend on which rows share a tile, so rows that nobody asked
// for may hold anything. Subnormal numbers count as zero.
//
// Tests define MR_EMULATED_TILES and supply the same instructions in C (Tests/TileEmulation), for machines without.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1 chapter 18, volume 2 (TDPBF16PS).
#pragma once
#include "engine.h"
#include "x86.h"

enum {
    MR_TILE_HEIGHT = 16, // rows of a register
    MR_TILE_LINE = 64, // bytes of its rows
    MR_TILE_PAIRS = 16, // pairs of inputs that a product takes
};

// What LDTILECFG reads.
typedef struct {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t line[16]; // bytes of a row, by register
    uint8_t rows[16];
} mr_tile_layout;

#ifdef MR_EMULATED_TILES
#include "tile_emulation.h"
#else
#define TILE_LAYOUT(layout) _tile_loadconfig(layout)
#define TILE_ZERO(c) _tile_zero(c)
#define TILE_LOAD(t, from, stride) _tile_loadd(t, from, stride)
#define TILE_STORE(t, to, stride) _tile_stored(t, to, stride)
#define TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
#define TILE_MULTIPLY_BYTES(c, a, b) _tile_dpbusd(c, a, b)
#endif

extern const mr_tile_layout mr_tiles_of_products;
extern const mr_tile_layout mr_tiles_of_attention[MR_TILE_QUERIES]; // by queries, from 1

// The layout that this thread's registers have. Loading one takes some hundred cycles and clears them all. Nothing else
// in the process may load or release layouts: by the ABI, a function might.
extern _Thread_local const mr_tile_layout *mr_tiles_now;

#define USE_TILES(layout)                                                                                    \
    do {                                                                                                     \
        const mr_tile_layout *wanted = (layout);                                                             \
        if (mr_tiles_now == wanted) break;                                                                   \
        TILE_LAYOUT(wanted);                                                                                 \
        mr_tiles_now = wanted;                                                                               \
    } while (0)
