// Conversions between float32 and the 16-bit floats.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t mr_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float mr_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float mr_bf16_to_f32(uint16_t value) { return mr_from_bits((uint32_t)value << 16); }

// Round to nearest, ties to even; NaN stays NaN.
static inline uint16_t mr_f32_to_bf16(float value) {
    uint32_t bits = mr_bits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// What a row is multiplied with before it is rounded to bytes, so that its largest value comes to 127. Of a row of
// zeros, or of values so small that it would overflow: 0.
static inline float mr_byte_inverse(float largest) { return largest > 1e-36f ? 127 / largest : 0; }

// x, of -127...127, to the nearest whole number, ties to even: the last bits of a sum that has no others.
static inline int8_t mr_round_to_byte(float x) { return (int8_t)(mr_bits(x + 0x1.8p23f) & 0xff); }

// IEEE 754 half to float32, exact: normal numbers by re-biasing through a multiplication, which makes
// subnormal halves come out right as well.
static inline float mr_f16_to_f32(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    if (magnitude >= 0x0f800000) return mr_from_bits(sign | magnitude | 0x7f800000);
    float value = mr_from_bits(magnitude) * 0x1p112f;
    return mr_from_bits(mr_bits(value) | sign);
}
