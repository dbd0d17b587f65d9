// Eight tile registers a thread, as the manual describes them: see Sources/Kernels/CPU/tiles.h for the source.
#define MR_EMULATED_TILES
#include "tiles.h"
#include "include/tile_kernels.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#pragma STDC FP_CONTRACT OFF

enum { REGISTERS = 8, ROWS = 16, LINE = 64 };

typedef struct {
    int rows;
    int line; // bytes
    _Alignas(64) unsigned char data[ROWS][LINE];
} tile;

static _Thread_local tile tiles[REGISTERS];
_Thread_local const mr_tile_layout *mr_emulated_tiles_now;
static atomic_int faults;

static void fault(void) { atomic_fetch_add(&faults, 1); }

int mr_tile_faults(void) { return atomic_exchange(&faults, 0); }

static tile *configured(int number) {
    static _Thread_local tile nothing;
    if (number >= 0 && number < REGISTERS && tiles[number].rows > 0) return &tiles[number];
    fault();
    return &nothing;
}

void mr_emulated_layout(const void *from) {
    const mr_tile_layout *layout = from;
    static const unsigned char zeros[sizeof layout->reserved];
    if (layout->palette != 1 || layout->start_row != 0) fault();
    if (memcmp(layout->reserved, zeros, sizeof zeros) != 0) fault();
    for (int t = 0; t < 16; t++) {
        bool empty = layout->rows[t] == 0 && layout->line[t] == 0;
        bool whole = layout->rows[t] > 0 && layout->line[t] > 0 && layout->rows[t] <= ROWS &&
                     layout->line[t] <= LINE && layout->line[t] % 4 == 0;
        if (!empty && (!whole || t >= REGISTERS)) fault();
        if (t >= REGISTERS) continue;
        memset(&tiles[t], 0, sizeof tiles[t]);
        tiles[t].rows = layout->rows[t];
        tiles[t].line = layout->line[t];
    }
}

void mr_emulated_zero(int c) { memset(configured(c)->data, 0, sizeof tiles[c].data); }

void mr_emulated_load(int t, const void *from, size_t stride) {
    tile *target = configured(t);
    memset(target->data, 0, sizeof target->data);
    for (int r = 0; r < target->rows; r++) {
        memcpy(target->data[r], (const char *)from + (size_t)r * stride, (size_t)target->line);
    }
}

void mr_emulated_store(int t, void *to, size_t stride) {
    const tile *source = configured(t);
    for (int r = 0; r < source->rows; r++) {
        memcpy((char *)to + (size_t)r * stride, source->data[r], (size_t)source->line);
    }
}

static float bf16(const unsigned char *at) {
    uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    if ((bits & 0x7f800000u) == 0) bits &= 0x80000000u;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static float flushed(float value) { return fpclassify(value) == FP_SUBNORMAL ? copysignf(0, value) : value; }

static void check_operands(const tile *sums, const tile *left, const tile *right) {
    if (sums == left || sums == right || left == right) fault();
    if (sums->rows != left->rows || sums->line != right->line || left->line / 4 != right->rows) fault();
}

// Sums of even and of odd inputs run apart, and come together before they are added to what was there.
void mr_emulated_multiply(int c, int a, int b) {
    tile *sums = configured(c);
    const tile *left = configured(a), *right = configured(b);
    check_operands(sums, left, right);
    int pairs = left->line / 4, outputs = sums->line / 4;
    for (int r = 0; r < sums->rows; r++) {
        float even[ROWS] = {0}, odd[ROWS] = {0};
        for (int k = 0; k < pairs; k++) {
            float first = bf16(&left->data[r][4 * k]), second = bf16(&left->data[r][4 * k + 2]);
            for (int n = 0; n < outputs; n++) {
                even[n] = flushed(fmaf(first, bf16(&right->data[k][4 * n]), even[n]));
                odd[n] = flushed(fmaf(second, bf16(&right->data[k][4 * n + 2]), odd[n]));
            }
        }
        for (int n = 0; n < outputs; n++) {
            float sum;
            memcpy(&sum, &sums->data[r][4 * n], 4);
            sum = flushed(flushed(sum) + flushed(even[n] + odd[n]));
            memcpy(&sums->data[r][4 * n], &sum, 4);
        }
    }
}

void mr_emulated_multiply_bytes(int c, int a, int b) {
    tile *sums = configured(c);
    const tile *left = configured(a), *right = configured(b);
    check_operands(sums, left, right);
    for (int r = 0; r < sums->rows; r++) {
        for (int n = 0; n < sums->line / 4; n++) {
            int32_t sum;
            memcpy(&sum, &sums->data[r][4 * n], 4);
            for (int k = 0; k < left->line; k++) {
                sum += left->data[r][k] * (int8_t)right->data[k / 4][4 * n + k % 4];
            }
            memcpy(&sums->data[r][4 * n], &sum, 4);
        }
    }
}

_Bool mr_can_emulate_tiles(void) {
    return mr_isa_supported(MR_ISA_AVX512BF16) && mr_isa_multiplies_bytes(MR_ISA_AVX512BF16);
}

void mr_emulate_tiles(struct mr_engine *engine) {
    mr_gemm_amx(&engine->kernels);
    mr_attention_amx(&engine->kernels);
}
