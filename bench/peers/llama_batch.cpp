// llama.cpp as a batch engine: continuous batching over its C API, greedy, without a server in between.
//
//     llama_batch MODEL PROMPTS NEW THREADS SLOTS BACKEND
//
// PROMPTS: texts that each end in a NUL byte. BACKEND: a library of a CPU variant, or a folder of which it takes the
// best. Prints a JSON line: start-up, time, tokens. API: include/llama.h of llama.cpp.
#include "ggml-backend.h"
#include "llama.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <vector>

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void fail(const char *what) {
    std::fprintf(stderr, "llama_batch: %s\n", what);
    std::exit(1);
}

struct Sequence {
    std::vector<llama_token> prompt;
    size_t fed = 0; // prompt tokens in the cache
    int made = 0;
    llama_token last = 0;
    int slot = -1;
    int row = -1; // of the batch whose logits it waits for
};

static std::vector<std::string> read_prompts(const char *path) {
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<std::string> prompts;
    for (size_t at = 0; at < text.size();) {
        prompts.emplace_back(text.c_str() + at);
        at += prompts.back().size() + 1;
    }
    return prompts;
}

static void add(llama_batch &batch, llama_token token, int position, int slot, bool wanted) {
    int row = batch.n_tokens++;
    batch.token[row] = token;
    batch.pos[row] = position;
    batch.n_seq_id[row] = 1;
    batch.seq_id[row][0] = slot;
    batch.logits[row] = wanted;
}

int main(int count, char **arguments) {
    if (count != 7) fail("usage: llama_batch MODEL PROMPTS NEW THREADS SLOTS BACKEND");
    const int fresh = std::atoi(arguments[3]), threads = std::atoi(arguments[4]), slots = std::atoi(arguments[5]);
    const int budget = 512;
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    struct stat facts;
    if (stat(arguments[6], &facts) == 0 && S_ISDIR(facts.st_mode))
        ggml_backend_load_all_from_path(arguments[6]);
    else if (ggml_backend_load(arguments[6]) == nullptr)
        fail("the backend cannot be loaded");
    double start = now();
    llama_model *model = llama_model_load_from_file(arguments[1], llama_model_default_params());
    if (model == nullptr) fail("the model cannot be loaded");
    const llama_vocab *vocabulary = llama_model_get_vocab(model);
    llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = slots * 384;
    parameters.n_batch = parameters.n_ubatch = budget;
    parameters.n_seq_max = slots;
    parameters.n_threads = parameters.n_threads_batch = threads;
    parameters.kv_unified = true;
    llama_context *context = llama_init_from_model(model, parameters);
    if (context == nullptr) fail("no context");
    double loaded = now();

    std::vector<Sequence> sequences;
    for (const std::string &text : read_prompts(arguments[2])) {
        Sequence sequence;
        sequence.prompt.resize(text.size() + 8);
        int length = llama_tokenize(
            vocabulary, text.data(), int(text.size()), sequence.prompt.data(), int(sequence.prompt.size()), true,
            false);
        if (length < 1 || length + fresh > 384) fail("a prompt's length");
        sequence.prompt.resize(length);
        sequences.push_back(sequence);
    }
    std::vector<int> empty;
    for (int slot = slots; slot > 0; slot--) empty.push_back(slot - 1);
    llama_batch batch = llama_batch_init(budget, 0, 1);
    const int words = llama_vocab_n_tokens(vocabulary);
    long generated = 0, prompted = 0;
    for (size_t left = sequences.size(); left > 0;) {
        batch.n_tokens = 0;
        for (Sequence &sequence : sequences) {
            if (sequence.slot < 0 || sequence.fed < sequence.prompt.size()) continue;
            sequence.row = batch.n_tokens;
            add(batch, sequence.last, int(sequence.fed) + sequence.made - 1, sequence.slot, true);
        }
        for (Sequence &sequence : sequences) {
            if (sequence.made > 0 || sequence.fed == sequence.prompt.size() || batch.n_tokens == budget) continue;
            if (sequence.slot < 0) {
                if (empty.empty()) continue;
                sequence.slot = empty.back();
                empty.pop_back();
            }
            while (sequence.fed < sequence.prompt.size() && batch.n_tokens < budget) {
                bool isLast = sequence.fed + 1 == sequence.prompt.size();
                if (isLast) sequence.row = batch.n_tokens;
                add(batch, sequence.prompt[sequence.fed], int(sequence.fed), sequence.slot, isLast);
                sequence.fed++;
                prompted++;
            }
        }
        if (llama_decode(context, batch) != 0) fail("llama_decode");
        for (Sequence &sequence : sequences) {
            if (sequence.row < 0) continue;
            const float *logits = llama_get_logits_ith(context, sequence.row);
            sequence.last = llama_token(std::max_element(logits, logits + words) - logits);
            sequence.row = -1;
            generated++;
            if (++sequence.made < fresh) continue;
            llama_memory_seq_rm(llama_get_memory(context), sequence.slot, -1, -1);
            empty.push_back(sequence.slot);
            sequence.slot = -1;
            left--;
        }
    }
    std::printf(
        "{\"startup_seconds\": %.3f, \"seconds\": %.3f, \"generated_tokens\": %ld, \"prompt_tokens\": %ld}\n",
        loaded - start, now() - loaded, generated, prompted);
    return 0;
}
