// llama2c MODEL.bin PROMPTS NEW_TOKENS THREADS: greedy token ids over llama2.c's forward(), unchanged.
// Prefill is one forward() a prompt token (llama2.c has no batched prefill) and ends when the first
// new token is picked; decoding is the other NEW_TOKENS - 1. End tokens are ignored.
#include "run.c"
#include <omp.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
static int best(const float *l, int n) {
    int m = 0;
    for (int i = 1; i < n; i++) if (l[i] > l[m]) m = i;
    return m;
}

int main(int argc, char **argv) {
    if (argc < 5) { fprintf(stderr, "llama2c MODEL PROMPTS NEW_TOKENS THREADS\n"); return 2; }
    Transformer t;
    build_transformer(&t, argv[1]);
    int fresh = atoi(argv[3]), room = t.config.seq_len, vocab = t.config.vocab_size;
    omp_set_num_threads(atoi(argv[4]));
    FILE *file = fopen(argv[2], "r");
    if (!file) { fprintf(stderr, "cannot open %s\n", argv[2]); return 1; }
    int *ids = malloc(sizeof(int) * (room + 1));
    for (int i = 0; i < 8; i++) forward(&t, 1, i);  // warm up
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        int n = 0;
        for (char *at = line, *end; n < room; at = end) {
            long id = strtol(at, &end, 10);
            if (end == at) break;
            ids[n++] = (int)id;
        }
        if (!n) continue;
        if (n + fresh > room + 1) { fprintf(stderr, "prompt + new tokens beyond %d\n", room); return 1; }
        double t0 = now();
        float *l = NULL;
        for (int i = 0; i < n; i++) l = forward(&t, ids[i], i);
        ids[n] = best(l, vocab);
        double t1 = now();
        for (int i = n; i < n + fresh - 1; i++) ids[i + 1] = best(forward(&t, ids[i], i), vocab);
        double t2 = now();
        printf("{\"ids\": [");
        for (int i = n; i < n + fresh; i++) printf("%s%d", i > n ? ", " : "", ids[i]);
        printf("], \"prefill_seconds\": %.6f, \"decode_seconds\": %.6f}\n", t1 - t0, t2 - t1);
        fflush(stdout);
    }
    return 0;
}
