// Thresholds and draws over a row of logits, without sorting: what sampling.cu is made of. One block of THREADS threads
// works on a row; every function here is called by all of them.
//
// A token's weight (its probability relative to the most likely one's) is an integer in units of 2^-44, so that sums do not
// depend on their order; tokens less likely than that are never drawn. Every cut is exact, as a threshold that histograms
// find.
#pragma once
#include "mr.cuh"

typedef unsigned long long u64;

#define THREADS 1024
#define BINS (2 * THREADS)
#define LISTED 2048
#define ONE (1ull << 44)
// A logit this many temperatures below the peak weighs nothing: ln(2^45).
#define DEEPEST 31.2f

struct Workspace {
    // A histogram of 64-bit sums, by halves: shared memory adds 32 bits at a time.
    unsigned low[BINS], high[BINS];
    float values[LISTED];
    int ids[LISTED];
    u64 folds[32], above[32];
    unsigned ties[32];
    u64 found;
    unsigned listed;
    int bin, token;
    float floor;
};

__shared__ Workspace w;

__device__ __forceinline__ float minus_infinity() { return __int_as_float((int)0xff800000u); }

// Rises with the value; both zeros are one.
__device__ __forceinline__ unsigned rising(float value) {
    unsigned bits = __float_as_uint(value + 0.f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float from_rising(unsigned key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

// Orders tokens: larger values first, of equal ones the smaller place.
__device__ __forceinline__ u64 place_key(float value, int place) { return (u64)rising(value) << 32 | ~(unsigned)place; }
__device__ __forceinline__ int place_of(u64 key) { return (int)~(unsigned)key; }

// visit(place, value) for all values, several loads at a time; every thread of the block takes some.
template <typename Visit> __device__ __forceinline__ void each(const float *values, int count, Visit visit) {
    for (int first = threadIdx.x; first < count; first += 4 * THREADS) {
        float v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] = first + i * THREADS < count ? values[first + i * THREADS] : 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (first + i * THREADS < count) visit(first + i * THREADS, v[i]);
        }
    }
}

__device__ __forceinline__ void clear_bins() {
    __syncthreads();
    for (int i = threadIdx.x; i < BINS; i += THREADS) w.low[i] = w.high[i] = 0;
    __syncthreads();
}

__device__ __forceinline__ void add_to_bin(int bin, u64 measure) {
    unsigned low = (unsigned)measure, old = atomicAdd(&w.low[bin], low);
    unsigned high = (unsigned)(measure >> 32) + (old + low < old ? 1 : 0);
    if (high != 0) atomicAdd(&w.high[bin], high);
}

__device__ __forceinline__ u64 bin_sum(int bin) { return (u64)w.high[bin] << 32 | w.low[bin]; }

// The first bin with which the sum of bins from 0 on reaches `need`: w.bin; and w.found, the sum before it.
__device__ __noinline__ void find_crossing(u64 need) {
    __syncthreads();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    u64 first = bin_sum(2 * threadIdx.x), both = first + bin_sum(2 * threadIdx.x + 1), upTo = both;
#pragma unroll
    for (int by = 1; by < 32; by *= 2) {
        u64 other = __shfl_up_sync(MR_FULL_WARP, upTo, by);
        if (lane >= by) upTo += other;
    }
    if (lane == 31) w.folds[warp] = upTo;
    __syncthreads();
    u64 before = upTo - both;
    for (int other = 0; other < warp; other++) before += w.folds[other];
    if (before < need && before + both >= need) {
        bool isSecond = before + first < need;
        w.bin = 2 * threadIdx.x + isSecond;
        w.found = before + (isSecond ? first : 0);
    }
    __syncthreads();
}

// Where the values in falling order, from the largest on, reach `need` in the sum of measure(value).
struct Crossing {
    float value;
    u64 above;  // the sum of larger values
};

// Of the values from `floor` up; their sum must reach `need`, which is not 0. `range` is where the crossing likely is,
// below `peak`, the largest value.
template <typename Measure> __device__ __noinline__ Crossing find_value(
    const float *values, int count, float floor, float peak, float range, u64 need, Measure measure) {
    // First by distance from the peak, which spreads values over the bins, then by the bits of those in one bin. Both keep
    // the order of values.
    float scale = BINS / range;
    auto bin_of = [=](float v) { return (int)fminf((peak - v) * scale, BINS - 1.f); };
    clear_bins();
    each(values, count, [&](int, float v) {
        if (v >= floor) add_to_bin(bin_of(v), measure(v));
    });
    find_crossing(need);
    int bin = w.bin;
    u64 above = w.found;
    if (threadIdx.x == 0) w.listed = 0;
    __syncthreads();
    each(values, count, [&](int, float v) {
        if (v >= floor && bin_of(v) == bin) {
            unsigned at = atomicAdd(&w.listed, 1u);
            if (at < LISTED) w.values[at] = v;
        }
    });
    __syncthreads();
    unsigned listed = w.listed;
    unsigned prefix = 0;
    for (int shift = 21; shift >= 0; shift = shift == 21 ? 10 : shift - 10) {
        int bits = shift == 0 ? 10 : 11;
        auto visit = [&](float v) {
            unsigned key = ~rising(v);
            if (shift == 21 || key >> (shift + bits) == prefix) {
                add_to_bin((int)(key >> shift & ((1u << bits) - 1)), measure(v));
            }
        };
        clear_bins();
        if (listed <= LISTED) {
            for (unsigned i = threadIdx.x; i < listed; i += THREADS) visit(w.values[i]);
        } else {
            each(values, count, [&](int, float v) {
                if (v >= floor && bin_of(v) == bin) visit(v);
            });
        }
        find_crossing(need - above);
        prefix = prefix << bits | (unsigned)w.bin;
        above += w.found;
    }
    __syncthreads();
    return {from_rising(~prefix), above};
}

struct One {
    __device__ __forceinline__ u64 operator()(float) const { return 1; }
};

// Probability of a logit relative to the peak's, in units of 2^-44.
struct Weight {
    float peak, slope;
    __device__ __forceinline__ u64 operator()(float v) const {
        if (v == minus_infinity()) return 0;
        return __float2ull_rn(exp2f((v - peak) * slope) * (float)ONE);
    }
};

// The largest value's place_key; `hasNaN` if any is no number.
__device__ __noinline__ u64 find_peak(const float *values, int count, bool &hasNaN) {
    u64 best = 0;
    int odd = 0;
    each(values, count, [&](int place, float v) {
        if (v != v) odd = 1;
        else best = Max()(best, place_key(v, place));
    });
    hasNaN = __syncthreads_or(odd) != 0;
    return block_reduce(best, Max(), (u64)0, w.folds);
}

// ln(sum of exp) of a row whose largest value is finite; in thread 0.
__device__ double log_sum_exp(const float *values, int count, float peak) {
    Weight weight = {peak, MR_LOG2_E};
    u64 sum = 0;
    each(values, count, [&](int, float v) { sum += weight(v); });
    sum = block_reduce(sum, Add(), (u64)0, w.folds);
    return threadIdx.x == 0 ? (double)peak + log((double)sum / (double)ONE) : 0;
}

// What tokens may be drawn: those above `value`, and the last `ties` of those that equal it.
struct Kept {
    float value;
    unsigned ties;
    u64 total;
};

// The smallest float32 logit whose weight reaches the share.
__device__ float lowest_above_share(float peak, double temperature, double share) {
    float at = (float)((double)peak + temperature * log(share));
    if (!(at >= -3.4e38f)) return minus_infinity();
    unsigned key = rising(at) - 4;
    for (int i = 0; i < 9; i++, key++) {
        if (exp(((double)from_rising(key) - (double)peak) / temperature) >= share) break;
    }
    return fminf(from_rising(key), peak);
}

// settings: temperature, top_p, min_p.
__device__ Kept make_cuts(
    const float *values, int count, const Weight &weight, const double *settings, int topK, int vocabulary) {
    double temperature = settings[0], topP = settings[1], minP = settings[2];
    float floor = minus_infinity();
    if (minP > 0) {
        // One thread does it: few devices have double precision to spare.
        if (threadIdx.x == 0) w.floor = lowest_above_share(weight.peak, temperature, minP);
        __syncthreads();
        floor = w.floor;
    }
    if (topK > 0 && topK < vocabulary && topK < count) {
        floor = fmaxf(floor, find_value(values, count, minus_infinity(), weight.peak, 32, (u64)topK, One()).value);
    }
    u64 total = 0, atFloor = 0;
    each(values, count, [&](int, float v) {
        if (v >= floor) total += weight(v);
        if (v == floor) atFloor++;
    });
    total = block_reduce(total, Add(), (u64)0, w.folds);
    if (!(topP < 1)) return {floor, (unsigned)block_reduce(atFloor, Add(), (u64)0, w.folds), total};
    // Dropped are the least likely while their sum stays within 1 - p; the most likely always stays.
    u64 limit = (u64)((1 - fmax(topP, 0.)) * (double)total), need = total > limit ? total - limit : 1;
    float range = fminf((float)temperature * DEEPEST, 1e30f);
    Crossing crossing = find_value(values, count, floor, weight.peak, range, need, weight);
    u64 one = weight(crossing.value), ties = (need - crossing.above + one - 1) / one;
    return {crossing.value, (unsigned)ties, crossing.above + ties * one};
}

// How many of `here` ties, of which `before` lie before, are among those after the first `skipped`.
__device__ __forceinline__ u64 kept_ties(u64 skipped, u64 before, u64 here) {
    u64 end = before + here, start = Max()(before, skipped);
    return end > start ? end - start : 0;
}

// Adds up what this lane has of the next SPAN values: the weight of those above `cut`, the number of those equal to it.
#define SPAN 256
__device__ __forceinline__ void add_span(
    const float *values, int left, const Weight &weight, float cut, u64 &above, unsigned &ties) {
    float v[SPAN / 32];
    int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < SPAN / 32; i++) v[i] = 32 * i + lane < left ? values[32 * i + lane] : 0;
#pragma unroll
    for (int i = 0; i < SPAN / 32; i++) {
        if (32 * i + lane >= left) continue;
        if (v[i] > cut) above += weight(v[i]);
        if (v[i] == cut) ties++;
    }
}

// The place at which the cumulative weight of kept tokens, in the order of places, passes `draw` / 2^64 of the total.
__device__ int draw_place(
    const float *values, int count, const Weight &weight, const Kept &kept, u64 draw) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    // A warp's share is a whole number of spans.
    int share = (count + 32 * SPAN - 1) / (32 * SPAN) * SPAN, begin = min(warp * share, count);
    int end = min(begin + share, count);
    u64 above = 0, one = weight(kept.value), target = __umul64hi(draw, kept.total);
    unsigned ties = 0;
    for (int first = begin; first < end; first += SPAN) add_span(values + first, end - first, weight, kept.value, above, ties);
    above = warp_reduce(above, Add());
    ties = warp_reduce(ties, Add());
    if (lane == 0) w.above[warp] = above, w.ties[warp] = ties;
    if (threadIdx.x == 0) w.token = -1;
    __syncthreads();
    u64 allTies = 0, tiesBefore = 0, sum = 0;
    for (int other = 0; other < THREADS / 32; other++) allTies += w.ties[other];
    u64 skipped = allTies - kept.ties;
    for (int other = 0; other < warp; other++) {
        sum += w.above[other] + kept_ties(skipped, tiesBefore, w.ties[other]) * one;
        tiesBefore += w.ties[other];
    }
    if (sum <= target && target < sum + above + kept_ties(skipped, tiesBefore, ties) * one) {
        // Here it is: by spans, then token by token.
        int first = begin;
        for (;; first += SPAN) {
            u64 larger = 0;
            unsigned equal = 0;
            add_span(values + first, end - first, weight, kept.value, larger, equal);
            larger = warp_reduce(larger, Add());
            equal = warp_reduce(equal, Add());
            larger += kept_ties(skipped, tiesBefore, equal) * one;
            if (sum + larger > target || first + SPAN >= end) break;
            sum += larger;
            tiesBefore += equal;
        }
        for (;; first += 32) {
            int i = first + lane;
            float v = i < end ? values[i] : minus_infinity();
            bool isTie = i < end && v == kept.value;
            unsigned tied = __ballot_sync(MR_FULL_WARP, isTie);
            u64 upTo = v > kept.value ? weight(v) : 0;
            if (isTie && tiesBefore + __popc(tied & ((1u << lane) - 1)) >= skipped) upTo = one;
#pragma unroll
            for (int by = 1; by < 32; by *= 2) {
                u64 other = __shfl_up_sync(MR_FULL_WARP, upTo, by);
                if (lane >= by) upTo += other;
            }
            unsigned passed = __ballot_sync(MR_FULL_WARP, sum + upTo > target);
            if (passed != 0) {
                if (lane == 0) w.token = first + __ffs((int)passed) - 1;
                break;
            }
            if (first + 32 >= end) break;
            sum += __shfl_sync(MR_FULL_WARP, upTo, 31);
            tiesBefore += __popc(tied);
        }
    }
    __syncthreads();
    return w.token;
}
