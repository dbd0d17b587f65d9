// Products of bytes: rows of unsigned ones (inputs, 128 added) times signed ones (weights), summed as exact integers;
// so results are the same on every instruction set. Layouts: bytes.h; the scalar reference: bytes_scalar.c.
#include "bytes.h"
#include "numbers.h"
_Static_assert(MR_TURN == 512, "turn_block joins up to four pieces");

// A block is turned in pieces of up to this many vectors, whose butterflies stay in registers.
enum { TURN_VECTORS = 8 };

// Two inputs, or two vectors of them, become their sum and their difference.
INLINE void butterfly(vf *first, vf *second) {
    vf sum = v_add(*first, *second);
    *second = v_sub(*first, *second);
    *first = sum;
}

// The butterflies of lanes `distance` apart. The product by a sign is exact: this is other + x, or other - x.
INLINE vf turn_lanes(vf x, int distance) { return v_fma(x, v_signs(distance), v_exchange(x, distance)); }

// target = x by all butterflies within a piece, times `factor`.
INLINE void turn_piece(const float *x, int vectors, vf factor, float *target) {
    vf v[TURN_VECTORS];
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) {
        v[i] = turn_lanes(v_load(x + i * LANES), 1);
        v[i] = turn_lanes(v[i], 2);
        v[i] = turn_lanes(v[i], 4);
        v[i] = turn_lanes(v[i], 8);
    }
#pragma clang loop unroll(full)
    for (int distance = 1; distance < vectors; distance *= 2) {
#pragma clang loop unroll(full)
        for (int i = 0; i < vectors; i++) {
            if (!(i & distance)) butterfly(&v[i], &v[i | distance]);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) v_store(target + i * LANES, v_mul(v[i], factor));
}

// Joins two pieces, or four (the butterflies of neighbours, then of the pairs), in place.
INLINE void join_pieces(float *x, int pieces, vf factor) {
    enum { PIECE = TURN_VECTORS * LANES };
    for (int32_t i = 0; i < PIECE; i += LANES) {
        vf v[4];
#pragma clang loop unroll(full)
        for (int p = 0; p < pieces; p++) v[p] = v_load(x + p * PIECE + i);
#pragma clang loop unroll(full)
        for (int p = 0; p < pieces; p += 2) butterfly(&v[p], &v[p + 1]);
        if (pieces == 4) {
            butterfly(&v[0], &v[2]);
            butterfly(&v[1], &v[3]);
        }
#pragma clang loop unroll(full)
        for (int p = 0; p < pieces; p++) v_store(x + p * PIECE + i, v_mul(v[p], factor));
    }
}

// A block of 16 or more.
INLINE void turn_block(const float *x, int32_t block, float *target) {
    vf factor = v_set(mr_turn_factor(block)), one = v_set(1);
    int32_t vectors = block / LANES;
    switch (vectors) {
    case 1: turn_piece(x, 1, factor, target); return;
    case 2: turn_piece(x, 2, factor, target); return;
    case 4: turn_piece(x, 4, factor, target); return;
    case 8: turn_piece(x, 8, factor, target); return;
    }
    for (int32_t v = 0; v < vectors; v += TURN_VECTORS) {
        turn_piece(x + v * LANES, TURN_VECTORS, one, target + v * LANES);
    }
    if (vectors == 2 * TURN_VECTORS)
        join_pieces(target, 2, factor);
    else
        join_pieces(target, 4, factor);
}

// target [count]: x turned.
static void turn(const float *x, int32_t count, float *target) {
    int32_t at = 0, block;
    for (; count - at >= LANES; at += block) {
        block = mr_turn_block(count - at);
        turn_block(x + at, block, target + at);
    }
    for (int32_t i = at; i < count; i++) target[i] = x[i];
    mr_turn(target + at, count - at);
}

// Rounds a turned row to bytes.
static void quantize(const float *x, int32_t count, void *target) {
    uint8_t *bytes = (uint8_t *)target + MR_BYTE_HEADER;
    vf most = v_zero(), strange = v_zero();
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf value = v_load(x + i);
        most = v_max(v_abs(value), most);
        // NaN where a value is NaN or infinite.
        strange = v_fma(value, v_zero(), strange);
    }
    if (i < count) {
        vf value = v_load_first(x + i, count - i);
        most = v_max(v_abs(value), most);
        strange = v_fma(value, v_zero(), strange);
    }
    float largest = v_maximum(most);
    vf factor = v_set(mr_byte_inverse(largest));
    for (i = 0; i + LANES <= count; i += LANES) v_store_bytes(bytes + i, v_mul(v_load(x + i), factor));
    if (i < count) {
        uint8_t last[LANES];
        v_store_bytes(last, v_mul(v_load_first(x + i, count - i), factor));
        memcpy(bytes + i, last, (size_t)(count - i));
    }
    memset(bytes + count, 128, mr_byte_inputs(count) - (size_t)count);
    *(float *)target = largest / 127 + v_sum(strange);
}
