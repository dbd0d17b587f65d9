// Products of bytes: rows of unsigned ones (inputs, 128 added) times signed ones (weights), summed as exact integers;
// so results are the same on every instruction set. Layouts: bytes.h; the scalar reference: bytes_scalar.c.
#include "bytes.h"
#include "numbers.h"

// A row is turned in pieces of this many vectors, whose butterflies stay in registers.
enum { TURN_VECTORS = 8 };

// One step of the butterflies, of inputs `distance` apart within a vector: lanes i and i ^ distance become their sum
// and their difference.
INLINE vf turn_lanes(vf x, int distance) {
    vf other = v_exchange(x, distance);
    // x + other where the lane comes first, other - x where second.
    return v_select(v_first_of_pairs(distance), v_add(x, other), v_sub(other, x));
}

// Up to TURN_VECTORS vectors, by all butterflies within them.
INLINE void turn_piece(float *x, int vectors) {
    vf v[TURN_VECTORS];
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) {
        v[i] = v_load(x + i * LANES);
        v[i] = turn_lanes(v[i], 1);
        v[i] = turn_lanes(v[i], 2);
        v[i] = turn_lanes(v[i], 4);
        v[i] = turn_lanes(v[i], 8);
    }
#pragma clang loop unroll(full)
    for (int distance = 1; distance < vectors; distance *= 2) {
#pragma clang loop unroll(full)
        for (int i = 0; i < vectors; i++) {
            if (i & distance) continue;
            vf first = v[i], second = v[i | distance];
            v[i] = v_add(first, second);
            v[i | distance] = v_sub(first, second);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < vectors; i++) v_store(x + i * LANES, v[i]);
}

// A block of 16 or more.
INLINE void turn_block(float *x, int32_t block) {
    int32_t vectors = block / LANES;
    switch (vectors) {
    case 1: turn_piece(x, 1); return;
    case 2: turn_piece(x, 2); return;
    case 4: turn_piece(x, 4); return;
    }
    for (int32_t at = 0; at < block; at += TURN_VECTORS * LANES) turn_piece(x + at, TURN_VECTORS);
    for (int32_t distance = TURN_VECTORS * LANES; distance < block; distance *= 2) {
        for (int32_t at = 0; at < block; at += 2 * distance) {
            for (int32_t i = at; i < at + distance; i += LANES) {
                vf first = v_load(x + i), second = v_load(x + i + distance);
                v_store(x + i, v_add(first, second));
                v_store(x + i + distance, v_sub(first, second));
            }
        }
    }
}

// target [count]: x turned.
static void turn(const float *x, int32_t count, float *target) {
    memcpy(target, x, (size_t)count * 4);
    int32_t at = 0;
    while (count - at >= LANES) {
        int32_t block = mr_turn_block(count - at);
        turn_block(target + at, block);
        vf factor = v_set(mr_turn_factor(block));
        for (int32_t i = at; i < at + block; i += LANES) v_store(target + i, v_mul(v_load(target + i), factor));
        at += block;
    }
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
