// Token ids in, token ids out, over libllama. No tokenizer, no sampler, end tokens ignored.
//   llama_cpp MODEL.gguf PROMPTS NEW_TOKENS THREADS            greedy, one token a llama_decode
//   llama_cpp MODEL.gguf PROMPTS NEW_TOKENS THREADS lookup K   prompt lookup, n-grams 3..1, K drafts
// Seconds: prefill ends when the first new token is picked; decoding is the other NEW_TOKENS - 1.
// Environment: LC_KV=f16|bf16|f32 (f16), LC_FA=auto|on|off (auto, flash attention), LC_CTX (1024),
// LC_VERBOSE=1.
#include "llama.h"
#include "ggml-cpu.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

typedef std::vector<llama_token> Ids;

static double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
static std::string env(const char *name, const char *standard) {
    const char *v = getenv(name);
    return v && *v ? v : standard;
}

static llama_context *ctx;
static llama_batch batch;
static int n_vocab;

static void add(llama_token id, int pos, bool logits) {
    int i = batch.n_tokens++;
    batch.token[i] = id; batch.pos[i] = pos; batch.n_seq_id[i] = 1; batch.seq_id[i][0] = 0;
    batch.logits[i] = logits;
}
static void decode() {
    int rc = llama_decode(ctx, batch);
    if (rc) { fprintf(stderr, "llama_decode: %d\n", rc); exit(1); }
}
static llama_token pick(int i) {
    const float *l = llama_get_logits_ith(ctx, i);
    return (llama_token)(std::max_element(l, l + n_vocab) - l);
}
static void forget(int from) { llama_memory_seq_rm(llama_get_memory(ctx), 0, from, -1); }

static llama_token prefill(const Ids &ids) {
    llama_memory_clear(llama_get_memory(ctx), false);
    batch.n_tokens = 0;
    for (size_t i = 0; i < ids.size(); i++) add(ids[i], (int)i, i + 1 == ids.size());
    decode();
    return pick(batch.n_tokens - 1);
}

// What followed the last time the newest 3 (then 2, 1) tokens stood in `all`; the latest match.
static Ids follow(const Ids &all, int k) {
    int n = (int)all.size();
    for (int g = 3; g >= 1; g--) {
        if (n < g + 1) continue;
        for (int end = n - 2; end >= g - 1; end--) {
            if (!std::equal(all.begin() + end - g + 1, all.begin() + end + 1, all.end() - g)) continue;
            return Ids(all.begin() + end + 1, all.begin() + std::min(n, end + 1 + k));
        }
    }
    return {};
}

int main(int argc, char **argv) {
    if (argc < 5) { fprintf(stderr, "llama_cpp MODEL PROMPTS NEW_TOKENS THREADS [lookup K]\n"); return 2; }
    std::string mode = argc > 5 ? argv[5] : "greedy";
    int fresh = atoi(argv[3]), threads = atoi(argv[4]), k = argc > 6 ? atoi(argv[6]) : 4;
    if (env("LC_VERBOSE", "").empty()) llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model) { fprintf(stderr, "cannot load %s\n", argv[1]); return 1; }
    n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));

    llama_context_params p = llama_context_default_params();
    p.n_ctx = atoi(env("LC_CTX", "1024").c_str());
    p.n_batch = p.n_ubatch = 512;
    p.n_seq_max = 1;
    p.n_threads = p.n_threads_batch = threads;
    std::string kv = env("LC_KV", "f16"), fa = env("LC_FA", "auto");
    p.type_k = p.type_v = kv == "f32" ? GGML_TYPE_F32 : kv == "bf16" ? GGML_TYPE_BF16 : GGML_TYPE_F16;
    p.flash_attn_type = fa == "on" ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                      : fa == "off" ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
    ctx = llama_init_from_model(model, p);
    if (!ctx) { fprintf(stderr, "no context\n"); return 1; }
    batch = llama_batch_init(512, 0, 1);

    std::vector<Ids> prompts;
    std::ifstream file(argv[2]);
    for (std::string line; std::getline(file, line);) {
        std::istringstream in(line);
        Ids ids;
        for (int id; in >> id;) ids.push_back(id);
        if (!ids.empty()) prompts.push_back(ids);
    }
    if (prompts.empty()) { fprintf(stderr, "no prompts\n"); return 1; }

    prefill(prompts[0]);  // warm up: pages, threads, graphs of one row and of several
    for (int rows : {1, 1, 1, k + 1}) {
        batch.n_tokens = 0;
        for (int i = 0; i < rows; i++) add(1, (int)prompts[0].size() + i, true);
        decode(); pick(0);
        forget((int)prompts[0].size());
    }

    for (const Ids &prompt : prompts) {
        Ids all = prompt;
        int passes = 0, drafted = 0, accepted = 0, old = (int)prompt.size();
        double t0 = now();
        all.push_back(prefill(prompt));
        double t1 = now();
        while ((int)all.size() - old < fresh) {
            int have = (int)all.size();
            batch.n_tokens = 0;
            add(all.back(), have - 1, true);
            if (mode == "lookup") {
                Ids draft = follow(all, std::min(k, fresh - (have - old) - 1));
                for (size_t i = 0; i < draft.size(); i++) add(draft[i], have + (int)i, true);
            }
            decode();
            passes++;
            int rows = batch.n_tokens;
            drafted += rows - 1;
            for (int i = 0; i < rows; i++) {
                llama_token id = pick(i);
                all.push_back(id);
                if (i + 1 == rows) break;
                if (batch.token[i + 1] != id) break;
                accepted++;
            }
            if ((int)all.size() - 1 < have - 1 + rows) forget((int)all.size() - 1);
        }
        double t2 = now();
        printf("{\"ids\": [");
        for (size_t i = old; i < all.size(); i++) printf("%s%d", i > (size_t)old ? ", " : "", all[i]);
        printf("], \"prefill_seconds\": %.6f, \"decode_seconds\": %.6f", t1 - t0, t2 - t1);
        if (mode == "lookup") printf(", \"passes\": %d, \"drafted\": %d, \"accepted\": %d", passes, drafted, accepted);
        printf("}\n");
        fflush(stdout);
    }
    llama_batch_free(batch);
    llama_free(ctx);
    llama_model_free(model);
    llama_backend_free();
}
