// Weights of GPTQ and AWQ checkpoints to float32; GroupedWeights.swift says what lies where. Words are walked in the
// order of inputs, for a panel of outputs at a time: that is how both the file and packed matrices lie in memory.
#include "dequant_groups.h"
#include "numbers.h"

// Where the number of output i of 8 lies in AWQ's words, in bits.
static const int32_t awq_shift[8] = {0, 16, 4, 20, 8, 24, 12, 28};

// Bits to shift a word that is packed along outputs.
static inline int32_t shift_of(const mr_groups *groups, int32_t output) {
    return groups->awq ? awq_shift[output % 8] : groups->bits * (output % (32 / groups->bits));
}

static float scale_at(const mr_groups *groups, size_t at) {
    uint16_t half;
    float value;
    switch (groups->scale_type) {
    case 1: memcpy(&half, (const char *)groups->scales + 2 * at, 2); return mr_f16_to_f32(half);
    case 30: memcpy(&half, (const char *)groups->scales + 2 * at, 2); return mr_bf16_to_f32(half);
    default: memcpy(&value, (const char *)groups->scales + 4 * at, 4); return value;
    }
}

static void enter(const mr_groups *groups, mr_group_walk *walk, int32_t group, int32_t first, int32_t count) {
    int32_t per_word = 32 / groups->bits, mask = (1 << groups->bits) - 1;
    walk->group = group;
    for (int32_t i = 0; i < count; i++) {
        int32_t output = first + i;
        walk->scales[i] = scale_at(groups, (size_t)group * (size_t)groups->outputs + (size_t)output);
        size_t at = (size_t)group * (size_t)(groups->outputs / per_word) + (size_t)(output / per_word);
        uint32_t word = groups->zeros[at] + groups->zero_offset;
        walk->zeros[i] = (int32_t)(word >> shift_of(groups, output)) & mask;
    }
}

void mr_group_column(
    const mr_groups *groups, mr_group_walk *walk, int32_t input, int32_t first, int32_t count, float *column) {
    int32_t per_word = 32 / groups->bits, mask = (1 << groups->bits) - 1;
    if (groups->group_of[input] != walk->group) enter(groups, walk, groups->group_of[input], first, count);
    if (groups->awq) {
        const uint32_t *words = groups->numbers + (size_t)input * (size_t)(groups->outputs / 8);
        for (int32_t i = 0; i < count; i++) {
            int32_t number = (int32_t)(words[(first + i) / 8] >> awq_shift[(first + i) % 8]) & mask;
            column[i] = walk->scales[i] * (float)(number - walk->zeros[i]);
        }
        return;
    }
    const uint32_t *words = groups->numbers + (size_t)(input / per_word) * (size_t)groups->outputs + first;
    int32_t shift = groups->bits * (input % per_word);
    for (int32_t i = 0; i < count; i++) {
        int32_t number = (int32_t)(words[i] >> shift) & mask;
        column[i] = walk->scales[i] * (float)(number - walk->zeros[i]);
    }
}

void mr_dequantize_groups(const mr_groups *groups, float *out) {
    float column[MR_PANEL];
    for (int32_t first = 0; first < groups->outputs; first += MR_PANEL) {
        int32_t count = groups->outputs - first < MR_PANEL ? groups->outputs - first : MR_PANEL;
        mr_group_walk walk = {.group = -1};
        for (int32_t input = 0; input < groups->inputs; input++) {
            mr_group_column(groups, &walk, input, first, count, column);
            for (int32_t i = 0; i < count; i++)
                out[(size_t)(first + i) * (size_t)groups->inputs + (size_t)input] = column[i];
        }
    }
}
