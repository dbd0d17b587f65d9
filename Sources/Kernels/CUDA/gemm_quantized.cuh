// Weights in GGUF's block formats as the left operand of gemm.cuh: widened in shared memory, 64 inputs at a time, to
// the very bfloat16 values of mr_dequantize, so that a product has the same bits as one of the widened matrix.
// Layouts: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the block layouts of ggml's tensor types; and
// our own that GPTQ and AWQ weights are repacked to (groups.cu): types 100, 101 and 102, groups of 128, 64 and 32
// elements of 4 bits that are {u16 scale; u16 zero; u8 q[16] for each 32 elements, as Q4_0's}; types 103, 104 and 105,
// the same of 8 bits, {u16 scale; u16 zero; u8 q[32] for each 32 elements}. They are scale * (q - zero), the scale a
// float16, or a bfloat16 where bit 15 of the zero is set.
#pragma once
#include "gemm.cuh"

typedef unsigned char mr_byte;

// 4 quants a word, lowest byte first. Blocks have even sizes, so words lie at multiples of 2, or of 4 (`ALIGNED`).
template <bool ALIGNED> __device__ __forceinline__ unsigned mr_word(const mr_byte *at) {
    if (ALIGNED) return *(const unsigned *)at;
    const unsigned short *halves = (const unsigned short *)at;
    return halves[0] | (unsigned)halves[1] << 16;
}

__device__ __forceinline__ float mr_half(const mr_byte *at) { return half_to_float(*(const unsigned short *)at); }

// Bits 4 i ... 4 i + 3 of `bits`, a byte each.
__device__ __forceinline__ unsigned mr_spread(unsigned bits, int i) {
    return (bits >> (4 * i) & 15) * 0x00204081u & 0x01010101u; // bits 0, 8, 16, 24
}

// The values of IQ4_NL and IQ4_XS that the nibbles in a word's bytes stand for, plus 128.
__device__ __forceinline__ unsigned mr_iq4(unsigned nibbles) {
    unsigned low3 = nibbles & 0x07070707u;
    unsigned selector = (low3 & 0xf) | (low3 >> 4 & 0xf0) | (low3 >> 8 & 0xf00) | (low3 >> 12 & 0xf000);
    unsigned lower = __byte_perm(0x3f2d1801u, 0x766a5d4fu, selector); // -127, -104, -83, -65, -49, -35, -22, -10
    unsigned upper = __byte_perm(0xa6998d81u, 0xf1d9c5b5u, selector); // 1, 13, 25, 38, 53, 69, 89, 113
    unsigned mask = (nibbles >> 3 & 0x01010101u) * 0xff;
    return (lower & ~mask) | (upper & mask);
}

// Scale and minimum of sub-block j (of 8) from 12 bytes, 6 bits each, as Q4_K and Q5_K store them.
__device__ __forceinline__ int mr_sub_scale(const mr_byte *packed, int j) {
    return j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
}
__device__ __forceinline__ int mr_sub_minimum(const mr_byte *packed, int j) {
    return j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
}

// 32 elements as they are stored: element e is step[e / 16] * (quant - bias) + offset[e / 16], with e's quant in byte
// e % 4 of quants[e / 4]; without offsets there is no addition.
struct MRQuants {
    unsigned quants[8];
    float step[2], offset[2];
    float bias;
};

// Type is GGUF's number (TensorType.swift). GROUP elements, BYTES long, are copied together.
template <int TYPE> struct MRQuantFormat {
    static constexpr bool OWN = TYPE >= 100;
    static constexpr bool BYTE = TYPE >= 103; // OWN: of 8 bits
    static constexpr int PARTS = !OWN || TYPE % 3 == 0 ? 1 : TYPE % 3 == 2 ? 2 : 4; // OWN: of 32 elements
    static constexpr bool SUPER = TYPE >= 10 && TYPE != 20 && !OWN; // 256 elements a block
    static constexpr int GROUP = SUPER ? 256 : 128;
    static constexpr int BLOCK = OWN ? 4 + (BYTE ? 32 : 16) * PARTS
                                 : TYPE == 2 || TYPE == 20 ? 18 : TYPE == 3 ? 20 : TYPE == 6 ? 22 : TYPE == 7 ? 24
                                 : TYPE == 8             ? 34 : TYPE == 10 ? 84 : TYPE == 11 ? 110
                                 : TYPE == 12            ? 144 : TYPE == 13 ? 176 : TYPE == 14 ? 210 : 136;
    static constexpr int BYTES = SUPER ? BLOCK : 4 * BLOCK / PARTS;
    static constexpr bool ALIGNED = BLOCK % 4 == 0;
    static constexpr bool HAS_OFFSET = TYPE == 3 || TYPE == 7 || TYPE == 10 || TYPE == 12 || TYPE == 13;
    static constexpr int BIAS = TYPE == 2 ? 8 : TYPE == 6 ? 16 : TYPE == 11 ? 4 : TYPE == 14 ? 32
                                : TYPE == 8 || TYPE == 20 || TYPE == 23 ? 128 : 0;

    static __device__ __forceinline__ unsigned word(const mr_byte *at) { return mr_word<ALIGNED>(at); }

    // Part `part` (32 elements) of a group.
    static __device__ void read(MRQuants &q, const mr_byte *group, int part) {
        q.bias = 8388608.0f + BIAS;
        if (SUPER)
            readSuper(q, group, part);
        else if (OWN)
            readOwn(q, group + part / PARTS * BLOCK, part % PARTS);
        else
            readSmall(q, group + part * BLOCK);
    }

    static __device__ void readOwn(MRQuants &q, const mr_byte *block, int part) {
        unsigned head = word(block);
        q.bias = 8388608.0f + (float)(head >> 16 & 0x7fff);
        float scale = head >> 31 ? __uint_as_float(head << 16) : half_to_float((unsigned short)head);
        q.step[0] = q.step[1] = scale;
        if (BYTE) {
#pragma unroll
            for (int i = 0; i < 8; i++) q.quants[i] = word(block + 4 + 32 * part + 4 * i);
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                unsigned both = word(block + 4 + 16 * part + 4 * i);
                q.quants[i] = both & 0x0f0f0f0fu;
                q.quants[i + 4] = both >> 4 & 0x0f0f0f0fu;
            }
        }
    }

    static __device__ void readSmall(MRQuants &q, const mr_byte *block) {
        const bool five = TYPE == 6 || TYPE == 7;
        q.step[0] = q.step[1] = mr_half(block);
        q.offset[0] = q.offset[1] = HAS_OFFSET ? mr_half(block + 2) : 0;
        const mr_byte *quants = block + (HAS_OFFSET ? 4 : 2);
        if (TYPE == 8) {
#pragma unroll
            for (int i = 0; i < 8; i++) q.quants[i] = word(quants + 4 * i) ^ 0x80808080u;
            return;
        }
        unsigned high = five ? word(quants) : 0;
        if (five) quants += 4;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            unsigned both = word(quants + 4 * i);
            q.quants[i] = both & 0x0f0f0f0fu;
            q.quants[i + 4] = both >> 4 & 0x0f0f0f0fu;
            if (five) {
                q.quants[i] |= mr_spread(high, i) << 4;
                q.quants[i + 4] |= mr_spread(high, i + 4) << 4;
            }
            if (TYPE == 20) {
                q.quants[i] = mr_iq4(q.quants[i]);
                q.quants[i + 4] = mr_iq4(q.quants[i + 4]);
            }
        }
    }

    static __device__ void readSuper(MRQuants &q, const mr_byte *block, int part) {
        int half = part / 4, n = part % 4;
        if (TYPE == 10) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                q.quants[i] = word(block + 16 + 32 * half + 4 * i) >> (2 * n) & 0x03030303u;
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                int scale = block[2 * part + j];
                q.step[j] = __fmul_rn(mr_half(block + 80), (float)(scale & 15));
                q.offset[j] = -__fmul_rn(mr_half(block + 82), (float)(scale >> 4));
            }
        } else if (TYPE == 11) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                q.quants[i] = (word(block + 32 + 32 * half + 4 * i) >> (2 * n) & 0x03030303u) |
                              (word(block + 4 * i) >> part & 0x01010101u) << 2;
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int j = 2 * part + i, low = block[96 + j % 8] >> (j / 8 * 4) & 15;
                int scale = low | (block[104 + j % 4] >> (j / 4 * 2) & 3) << 4;
                q.step[i] = __fmul_rn(mr_half(block + 108), (float)(scale - 32));
            }
        } else if (TYPE == 12 || TYPE == 13) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const mr_byte *quants = block + (TYPE == 12 ? 16 : 48) + part / 2 * 32;
                q.quants[i] = word(quants + 4 * i) >> (part % 2 * 4) & 0x0f0f0f0fu;
                if (TYPE == 13) q.quants[i] |= (word(block + 16 + 4 * i) >> part & 0x01010101u) << 4;
            }
            q.step[0] = q.step[1] = __fmul_rn(mr_half(block), (float)mr_sub_scale(block + 4, part));
            q.offset[0] = q.offset[1] = -__fmul_rn(mr_half(block + 2), (float)mr_sub_minimum(block + 4, part));
        } else if (TYPE == 14) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                q.quants[i] = (word(block + half * 64 + n % 2 * 32 + 4 * i) >> (n / 2 * 4) & 0x0f0f0f0fu) |
                              (word(block + 128 + half * 32 + 4 * i) >> (2 * n) & 0x03030303u) << 4;
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                q.step[j] = __fmul_rn(mr_half(block + 208), (float)(signed char)block[192 + 2 * part + j]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                unsigned both = word(block + 8 + 16 * part + 4 * i);
                q.quants[i] = mr_iq4(both & 0x0f0f0f0fu);
                q.quants[i + 4] = mr_iq4(both >> 4 & 0x0f0f0f0fu);
            }
            int low = block[4 + part / 2] >> (part % 2 * 4) & 15;
            int high = (block[2] | block[3] << 8) >> (2 * part) & 3;
            q.step[0] = q.step[1] = __fmul_rn(mr_half(block), (float)((low | high << 4) - 32));
        }
    }

    // Pair i (of 16) in bfloat16.
    static __device__ __forceinline__ unsigned pair(const MRQuants &q, int i) {
        float values[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
            // 2^23 + quant, by its bits
            unsigned bits = __byte_perm(q.quants[i / 2], 0x4b000000u, 0x7440u | (unsigned)(2 * i % 4 + j));
            float quant = __fsub_rn(__uint_as_float(bits), q.bias);
            values[j] = __fmul_rn(q.step[i / 8], quant);
            if (HAS_OFFSET) values[j] = __fadd_rn(values[j], q.offset[i / 8]);
        }
        return pack_bf16(values[0], values[1]);
    }
};

// Copies quantised weights through a ring of groups, widens them, and multiplies; rows pass through registers.
// Shared memory: RING bytes of groups, then bfloat16 [128][64] weights and [TOKENS][64] rows.
template <class G, bool GATED, int TYPE> struct GemmQuantStream {
    typedef MRQuantFormat<TYPE> Format;
    static constexpr int STEPS = Format::GROUP / 64; // of 64 inputs a group
    // A group begins anywhere in 16 bytes unless its size says otherwise; an odd number of them spreads the banks.
    static constexpr bool EVEN = Format::SUPER && Format::BYTES % 16 == 0;
    static constexpr int CHUNKS = EVEN ? Format::BYTES / 16 : (Format::BYTES + 14 + 15) / 16;
    static constexpr int STRIDE = (CHUNKS | 1) * 16;
    static constexpr int DEPTH = STRIDE < 200 ? 3 : 2;
    static constexpr int RING = DEPTH * G::OUTPUTS * STRIDE;
    static_assert(G::THREADS == G::OUTPUTS, "a thread widens one output's weights");

    mr_byte *ring;
    bf16 *weights, *rowTile;
    const mr_byte *blocks;
    long long rowBytes;
    int output, outputs, inputs, step, end, nextGroup, nextSlot, slot;
    long long rows[G::COPIES];
    uint4 row[G::COPIES]; // of the next step
    const bf16 *x;

    struct Weights {
        const mr_byte *blocks;
        long long rowBytes;
    };

    __device__ void begin(bf16 *shared, const Weights &w, int tile, int outputCount, int inputCount,
                          const GemmRows &those, int from, int to) {
        ring = (mr_byte *)shared;
        weights = (bf16 *)(ring + RING);
        rowTile = weights + G::OUTPUTS * G::DEEP;
        blocks = w.blocks;
        rowBytes = w.rowBytes;
        output = tile * G::OUTPUTS;
        outputs = outputCount;
        inputs = inputCount;
        x = those.x;
#pragma unroll
        for (int i = 0; i < G::COPIES; i++) {
            int line = (int)threadIdx.x / 8 + i * G::LINES;
            bool there = line < those.count;
            int source = !there ? 0 : those.members ? those.members[those.first + line] : those.first + line;
            rows[i] = there ? (long long)source * inputs : -1;
        }
        step = from;
        end = to;
        nextGroup = from / STEPS;
        nextSlot = slot = 0;
        for (int i = 0; i < DEPTH; i++) loadGroup();
        loadRows();
    }

    // Where group `group` of a matrix row begins.
    __device__ long long groupAt(int source, int group) const {
        return source * rowBytes + (long long)group * Format::BYTES;
    }

    __device__ void loadGroup() {
        if (nextGroup * STEPS < end) {
            mr_byte *target = ring + nextSlot * (G::OUTPUTS * STRIDE);
#pragma unroll 4
            for (int i = (int)threadIdx.x; i < G::OUTPUTS * CHUNKS; i += G::THREADS) {
                int local = i / CHUNKS, chunk = i % CHUNKS;
                int source = mr_gemm_source<GATED>(local, output, outputs);
                if (source >= outputs) continue;
                long long from = groupAt(source, nextGroup), to = from + Format::BYTES;
                if (to > (source + 1) * rowBytes) to = (source + 1) * rowBytes;
                long long at = (from & ~15ll) + 16 * chunk;
                if (at < to) cp_async(target + local * STRIDE + 16 * chunk, blocks + at);
            }
            nextGroup++;
        }
        cp_async_commit();
        nextSlot = nextSlot + 1 == DEPTH ? 0 : nextSlot + 1;
    }

    __device__ void loadRows() {
        int input = step * G::DEEP + (int)threadIdx.x % 8 * 8;
#pragma unroll
        for (int i = 0; i < G::COPIES; i++) {
            row[i] = make_uint4(0, 0, 0, 0);
            if (rows[i] >= 0 && input < inputs && step < end) row[i] = *(const uint4 *)(x + rows[i] + input);
        }
    }

    // The thread's output's weights of the current step.
    __device__ void widen() {
        int local = (int)threadIdx.x, source = mr_gemm_source<GATED>(local, output, outputs);
        const mr_byte *group = ring + slot * (G::OUTPUTS * STRIDE) + local * STRIDE;
        if (!EVEN && source < outputs) group += groupAt(source, step / STEPS) & 15;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            MRQuants quants;
            bool there = step * G::DEEP + 32 * i < inputs && source < outputs;
            if (there) Format::read(quants, group, step % STEPS * 2 + i);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                uint4 eight = make_uint4(0, 0, 0, 0);
                if (there) {
                    eight = make_uint4(Format::pair(quants, 4 * j), Format::pair(quants, 4 * j + 1),
                                       Format::pair(quants, 4 * j + 2), Format::pair(quants, 4 * j + 3));
                }
                *(uint4 *)(weights + G::place(local, 4 * i + j)) = eight;
            }
        }
    }

    // sums += the next `count` steps.
    __device__ void walk(typename G::Sums &sums, int count) {
        for (int i = 0; i < count; i++) {
            if (i == 0 || step % STEPS == 0) cp_async_wait<DEPTH - 1>();
            __syncthreads();
            widen();
#pragma unroll
            for (int c = 0; c < G::COPIES; c++) {
                int line = (int)threadIdx.x / 8 + c * G::LINES;
                *(uint4 *)(rowTile + G::place(line, (int)threadIdx.x % 8)) = row[c];
            }
            step++;
            loadRows();
            __syncthreads();
            if (step % STEPS == 0) {
                slot = slot + 1 == DEPTH ? 0 : slot + 1;
                loadGroup();
            }
            G::multiply(sums, weights, rowTile);
        }
    }
};
