// The next token of each row of logits, as Worker/Sampling chooses it: adjustments (bans, biases, penalties), temperature,
// min_p, top_k, top_p in this order, then a draw that walks the tokens by id; and log-probabilities under the model's own
// distribution. A choice is a pure function of the row, its parameters and its draw. Adjusted logits are float32.
//
// Block 1024, static shared memory 33 KB.
#include "sampling.cuh"

#define STATUS_CHOSEN 0
#define STATUS_NON_FINITE 1
#define STATUS_NOTHING_ALLOWED 2

// The row's peak and the logarithm of its sum (in thread 0), or why there are none.
__device__ int normalise(const float *row, int count, u64 &peak, double &normaliser) {
    bool hasNaN;
    peak = find_peak(row, count, hasNaN);
    float value = from_rising((unsigned)(peak >> 32));
    if (hasNaN || value == -minus_infinity()) return STATUS_NON_FINITE;
    if (value == minus_infinity()) return STATUS_NOTHING_ALLOWED;
    normaliser = log_sum_exp(row, count, value);
    return STATUS_CHOSEN;
}

// Log-probabilities of the row as the model computed it, to result[2...]: rank, logprob, `width` ids, their logprobs.
__device__ void describe(
    const float *row, int count, u64 peak, int token, int top, double normaliser, int *result, int width) {
    float chosen = row[token];
    u64 reached = 0;
    each(row, count, [&](int, float v) { reached += v >= chosen ? 1 : 0; });
    reached = block_reduce(reached, Add(), (u64)0, w.folds);
    if (threadIdx.x == 0) {
        result[2] = (int)reached;
        result[3] = __float_as_int((float)((double)chosen - normaliser));
    }
    top = min(min(top, width), count);
    if (top > 0) {
        float floor = find_value(row, count, minus_infinity(), row[place_of(peak)], 32, (u64)top, One()).value;
        if (threadIdx.x == 0) w.listed = 0;
        __syncthreads();
        each(row, count, [&](int place, float v) {
            if (v >= floor) {
                unsigned at = atomicAdd(&w.listed, 1u);
                if (at < LISTED) w.values[at] = v, w.ids[at] = place;
            }
        });
        __syncthreads();
        unsigned listed = w.listed;
        u64 last = ~0ull;
        for (int i = 0; i < top; i++) {
            u64 best = 0;
            auto visit = [&](int place, float v) {
                u64 key = place_key(v, place);
                if (key < last && key > best) best = key;
            };
            if (listed <= LISTED) {
                for (unsigned at = threadIdx.x; at < listed; at += THREADS) visit(w.ids[at], w.values[at]);
            } else {
                each(row, count, visit);
            }
            last = block_reduce(best, Max(), (u64)0, w.folds);
            if (threadIdx.x == 0) {
                result[4 + i] = place_of(last);
                result[4 + width + i] = __float_as_int((float)((double)row[place_of(last)] - normaliser));
            }
        }
    }
}

// The logit of an entry's token, in vLLM's order: bans, bias, repetition, frequency and presence penalty.
// entry: token, 4 * times in the output + 2 if banned + 1 if seen. settings[3...5]: those three penalties.
__device__ float adjusted(float raw, int state, double bias, const double *settings) {
    if (state & 2) return minus_infinity();
    double value = (double)raw + bias;
    if (state & 1 && settings[3] != 1) value = value > 0 ? value / settings[3] : value * settings[3];
    if (state >> 2 > 0) value = __dadd_rn(value, -__dmul_rn(settings[4], state >> 2)) - settings[5];
    return (float)value;
}

// What each token weighs in the draw, by id; those that have no place are left alone. Slow: for tests.
__device__ void write_weights(
    const float *values, const int *entries, int count, const Weight &weight, const Kept &kept, u64 *weights) {
    if (threadIdx.x != 0) return;
    u64 dropped = 0;
    for (int at = 0; at < count; at++) dropped += values[at] == kept.value ? 1 : 0;
    dropped -= kept.ties;
    for (int at = 0; at < count; at++) {
        bool stays = values[at] > kept.value;
        if (values[at] == kept.value) {
            stays = dropped == 0;
            if (dropped > 0) dropped--;
        }
        weights[entries != nullptr ? entries[2 * at] : at] = stays ? weight(values[at]) : 0;
    }
}

// Chooses a token for row blockIdx.x of logits [rows, vocabulary], which are as they were when this ends.
//   settings [rows][6]: temperature (0: greedy), top_p, min_p, repetition, frequency, presence penalty
//   options [rows][5]: top_k (0: off); wanted top logprobs (-1: no logprobs); first entry; entries; whether only tokens
//     with an entry may be chosen
//   draws [rows]: uniform in [0, 1), times 2^64
//   entries [entries of all rows][2]: see `adjusted`; a row's have distinct tokens, in rising order
//   biases [entries]: null where there are none
//   scratch [entries]
//   results [rows][4 + 2 * width]: token, status, rank, logprob (float32 bits), then top ids and their logprobs. Rank and
//     what follows are written only as far as wanted. With a status other than 0 the token is -1.
//   tokens [rows] or null: the token again, 0 in place of -1
//   weights [rows, vocabulary] or null: for tests, what each token weighs in the draw
// Grid rows.
extern "C" __global__ void __launch_bounds__(THREADS) mr_sample(
    float *logits, int vocabulary, const double *settings, const int *options, const u64 *draws, const int *entries,
    const double *biases, float *scratch, int *results, int width, int *tokens, u64 *weights) {
    long long r = blockIdx.x;
    float *row = logits + r * vocabulary;
    int *result = results + r * (4 + 2 * width);
    settings += 6 * r;
    options += 5 * r;
    int topLogprobs = options[1], entryCount = options[3];
    bool listedOnly = options[4] != 0, hasNaN;
    entries += 2ll * options[2];
    if (biases != nullptr) biases += options[2];
    scratch += options[2];

    int status = STATUS_CHOSEN, token = -1;
    u64 rawPeak = 0;
    double normaliser = 0;
    if (topLogprobs >= 0) status = normalise(row, vocabulary, rawPeak, normaliser);
    if (status == STATUS_CHOSEN) {
        for (int e = threadIdx.x; e < entryCount; e += THREADS) {
            int at = entries[2 * e];
            float raw = row[at], value = adjusted(raw, entries[2 * e + 1], biases != nullptr ? biases[e] : 0, settings);
            scratch[e] = listedOnly ? value : raw;
            if (!listedOnly) row[at] = value;
        }
        __syncthreads();
        const float *values = listedOnly ? scratch : row;
        int count = listedOnly ? entryCount : vocabulary;
        u64 best = find_peak(values, count, hasNaN);
        float peak = count > 0 ? from_rising((unsigned)(best >> 32)) : minus_infinity();
        int place = place_of(best);
        if (hasNaN || peak == -minus_infinity()) status = STATUS_NON_FINITE;
        else if (peak == minus_infinity()) status = STATUS_NOTHING_ALLOWED;
        else if (settings[0] > 0) {
            Weight weight = {peak, MR_LOG2_E / (float)settings[0]};
            Kept kept = make_cuts(values, count, weight, settings, options[0], vocabulary);
            int drawn = draw_place(values, count, weight, kept, draws[r]);
            if (drawn >= 0) place = drawn;
            if (weights != nullptr) {
                write_weights(values, listedOnly ? entries : nullptr, count, weight, kept, weights + r * vocabulary);
            }
        }
        if (status == STATUS_CHOSEN) token = listedOnly ? entries[2 * place] : place;
        __syncthreads();
        for (int e = threadIdx.x; !listedOnly && e < entryCount; e += THREADS) row[entries[2 * e]] = scratch[e];
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        result[0] = token;
        result[1] = status;
        if (tokens != nullptr) tokens[r] = token < 0 ? 0 : token;
    }
    if (status == STATUS_CHOSEN && topLogprobs >= 0) {
        describe(row, vocabulary, rawPeak, token, topLogprobs, normaliser, result, width);
    }
}

// Log-probabilities of tokens that are given, as those of a prompt: result as mr_sample's, for tokens[r] under row r.
// tops [rows]: wanted top logprobs. Grid rows.
extern "C" __global__ void __launch_bounds__(THREADS) mr_score(
    const float *logits, int vocabulary, const int *tokens, const int *tops, int *results, int width) {
    const float *row = logits + (long long)blockIdx.x * vocabulary;
    int *result = results + (long long)blockIdx.x * (4 + 2 * width), token = tokens[blockIdx.x];
    u64 peak;
    double normaliser = 0;
    int status = normalise(row, vocabulary, peak, normaliser);
    if (threadIdx.x == 0) {
        result[0] = status == STATUS_CHOSEN ? token : -1;
        result[1] = status;
    }
    if (status == STATUS_CHOSEN) describe(row, vocabulary, peak, token, tops[blockIdx.x], normaliser, result, width);
}
