// Products of few rows with packed matrices, and the threads that share them.
//
// Decoding reads a handful of rows, so a pass takes as long as loading the weights from memory.
// Matrices are packed into blocks of 16 outputs by 32 inputs in the order in which a thread reads
// them: [block of outputs][block of inputs][32 / pair][16][pair], pair = 2 for bfloat16 (one lane of
// a bfloat16 dot product, and the format of an AMX tile) and 1 for float32. Sums are float32.

#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <immintrin.h>
#include <omp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <type_traits>
#include <vector>

namespace {

constexpr int64_t OUT = 16, IN = 32, BLOCK = OUT * IN, GROUP = 4;
using bf16 = c10::BFloat16;
typedef float lanes __attribute__((vector_size(64)));
typedef uint32_t words __attribute__((vector_size(64)));

// Operations reuse static buffers, and torch releases Python's lock: only one runs at a time.
inline std::mutex& operation_mutex() {
  static std::mutex mutex;
  return mutex;
}

inline void check_tokens(const at::Tensor& tokens_n, int64_t vocabulary) {
  const int64_t* tokens = tokens_n.const_data_ptr<int64_t>();
  for (int64_t n = 0; n < tokens_n.numel(); ++n)
    TORCH_CHECK_INDEX(tokens[n] >= 0 && tokens[n] < vocabulary, "token ", tokens[n],
                      " does not exist: the vocabulary has ", vocabulary);
}

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// ---------------------------------------------------------------- threads

// Waits for all threads of a parallel region: spins, then yields. OpenMP may start fewer threads than
// requested, so `threads` is set inside the region.
struct Barrier {
  int threads = 0;
  std::atomic<int> waiting{0}, phase{0};
  void wait() {
    const int mine = phase.load(std::memory_order_relaxed);
    if (waiting.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      waiting.store(0, std::memory_order_relaxed);
      phase.store(mine + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase.load(std::memory_order_acquire) == mine; ++spins)
      spins < 2000 ? __builtin_ia32_pause() : (void)sched_yield();
  }
};

struct Share { int64_t first, last; };

Share share(int64_t items, int rank, int threads) {
  return {items * rank / threads, items * (rank + 1) / threads};
}

// ---------------------------------------------------------------- products

// Blocks of a packed matrix: `depth` blocks of inputs, `input_step` elements apart; blocks of outputs
// are `output_step` elements apart.
template <class W> struct Blocks {
  const W* data;
  int64_t depth, input_step, output_step;
};

// A product of up to 16 rows with up to GROUP blocks of outputs fills sums[g][row][16].

#if defined(__AMX_BF16__)
bool tiles_available() {
  constexpr int request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool available = syscall(SYS_arch_prctl, request, tile_data) == 0;
  return available;
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// gcc does not know that tile instructions read memory: this makes it finish its writes first.
inline void finish_writes(const void* data) { asm volatile("" ::"r"(data) : "memory"); }

// Tiles 0..3 sum, 4 holds rows of activations, 5..7 weights.
void configure(int rows) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.bytes[tile] = 64;
    config.rows[tile] = tile <= 4 ? rows : 16;
  }
  finish_writes(&config);
  _tile_loadconfig(&config);
}

void tile_product(const bf16* x, int64_t stride, const Blocks<bf16>& w, int64_t count, float* sums) {
  finish_writes(x);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  for (int64_t at = 0; at < w.depth; ++at) {
    const bf16* block = w.data + at * w.input_step;
    _tile_loadd(4, x + at * IN, stride * sizeof(bf16));
#define LITDRAFT_TILE(sum, weights)                                          \
  if (count > sum) {                                                         \
    const bf16* tile = block + sum * w.output_step;                               \
    _tile_loadd(weights, tile, 64);                                          \
    _tile_dpbf16ps(sum, 4, weights);                                         \
  }
    LITDRAFT_TILE(0, 5) LITDRAFT_TILE(1, 6) LITDRAFT_TILE(2, 7) LITDRAFT_TILE(3, 5)
#undef LITDRAFT_TILE
  }
  _tile_stored(0, sums, 64);
  if (count > 1) _tile_stored(1, sums + 256, 64);
  if (count > 2) _tile_stored(2, sums + 512, 64);
  if (count > 3) _tile_stored(3, sums + 768, 64);
}
#endif

inline lanes splat(float x) { return x - lanes{}; }

// One row of a packed block: 16 outputs, `pair` inputs each.
inline void multiply(lanes& sum, const bf16* x, const bf16* w) {
#if defined(__AVX512BF16__)
  int32_t pair;
  std::memcpy(&pair, x, 4);
  sum = (lanes)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair),
                                (__m512bh)_mm512_loadu_si512(w));
#else
  words both;
  std::memcpy(&both, w, 64);
  sum += (lanes)(both << 16) * splat(x[0]) + (lanes)(both & 0xffff0000u) * splat(x[1]);
#endif
}
inline void multiply(lanes& sum, const float* x, const float* w) {
  lanes some;
  std::memcpy(&some, w, 64);
  sum += some * splat(*x);
}

// Rounds to nearest, ties to even; written so that compilers vectorize it.
inline void put(float* out, float x) { *out = x; }
inline void put(bf16* out, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const uint16_t high = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  std::memcpy(out, &high, 2);
}

// Never exactly zero: -ffast-math assumes that there are no infinities.
inline float sigmoid(float x) { return 1.f / (1.f + std::exp(std::min(-x, 80.f))); }

template <class W> constexpr int64_t PAIR = 4 / sizeof(W);

template <class W, int ROWS>
void row_product(const W* x, int64_t stride, const Blocks<W>& w, int64_t count, float* sums) {
  for (int64_t first = 0; first < count; first += 2) {
    const int64_t other = std::min(first + 1, count - 1);
    lanes sum[ROWS][2] = {};
    for (int64_t at = 0; at < w.depth; ++at) {
      const W *one = w.data + at * w.input_step + first * w.output_step;
      const W *two = w.data + at * w.input_step + other * w.output_step;
      for (int64_t i = 0; i < IN; i += PAIR<W>) {
        for (int row = 0; row < ROWS; ++row) {
          const W* some = x + row * stride + at * IN + i;
          multiply(sum[row][0], some, one + i * OUT);
          multiply(sum[row][1], some, two + i * OUT);
        }
      }
    }
    for (int row = 0; row < ROWS; ++row) {
      std::memcpy(sums + first * 256 + row * 16, &sum[row][0], 64);
      std::memcpy(sums + other * 256 + row * 16, &sum[row][1], 64);
    }
  }
}

// Rows multiplied with a block together, so that the block is read once: as many as fit registers.
#if defined(__AVX512F__)
constexpr int64_t AT_ONCE = 8;
#else
constexpr int64_t AT_ONCE = 4;
#endif

template <class W, int ROWS = AT_ONCE>
void some_rows(int64_t rows, const W* x, int64_t stride, const Blocks<W>& w, int64_t count,
               float* sums) {
  if constexpr (ROWS > 1)
    if (rows < ROWS) return some_rows<W, ROWS - 1>(rows, x, stride, w, count, sums);
  row_product<W, ROWS>(x, stride, w, count, sums);
}

template <class W>
void product(const W* x, int64_t stride, int64_t rows, const Blocks<W>& w, int64_t count,
             float* sums) {
#if defined(__AMX_BF16__)
  if constexpr (std::is_same_v<W, bf16>)
    if (tiles_available()) return tile_product(x, stride, w, count, sums);
#endif
  for (int64_t row = 0; row < rows; row += AT_ONCE)
    some_rows<W>(std::min(AT_ONCE, rows - row), x + row * stride, stride, w, count, sums + row * 16);
}

// Called by a thread before products of this many rows, and after its last product.
template <class W> void prepare(int64_t rows) {
#if defined(__AMX_BF16__)
  if (std::is_same_v<W, bf16> && tiles_available()) configure(std::min<int64_t>(rows, 16));
#endif
}
template <class W> void release() {
#if defined(__AMX_BF16__)
  if (std::is_same_v<W, bf16> && tiles_available()) _tile_release();
#endif
}

// Rows of activations, padded with zeros after `width` to whole blocks. New rows are uninitialized.
template <class W> struct Rows {
  std::vector<W> data;
  int64_t stride = 0;
  void size(int64_t rows, int64_t width) {
    stride = round_up(width, IN), rows = round_up(rows, 16);
    if (int64_t(data.size()) < rows * stride) data.resize(rows * stride);
    for (int64_t n = 0; width < stride && n < rows; ++n)
      std::fill(row(n) + width, row(n) + stride, W(0.f));
  }
  W* row(int64_t n) { return data.data() + n * stride; }
};

template <class W> struct Matrix { const W* data; int64_t outputs, inputs; };

// Calls done(first row, rows, first output, sums[g][row][16], g) for this thread's blocks of outputs.
// A thread gets whole units of `unit` blocks.
template <class W, class Done>
void multiply_all(const Matrix<W>& m, Rows<W>& x, int64_t rows, int rank, int threads, int64_t unit,
                  Done done) {
  alignas(64) float sums[GROUP * 256];
  const int64_t depth = round_up(m.inputs, IN) / IN, wide = round_up(m.outputs, OUT) / OUT;
  const Share mine = share(wide / unit, rank, threads);
  prepare<W>(rows);
  for (int64_t block = mine.first * unit; block < mine.last * unit; block += GROUP) {
    const int64_t count = std::min(GROUP, mine.last * unit - block);
    for (int64_t row = 0; row < rows; row += 16) {
      const int64_t some = std::min<int64_t>(16, rows - row);
      const Blocks<W> blocks{m.data + block * depth * BLOCK, depth, BLOCK, depth * BLOCK};
      product(x.row(row), x.stride, some, blocks, count, sums);
      done(row, some, block * OUT, sums, count);
    }
  }
}

// Copies a product's outputs into rows of floats, `width` wide.
inline auto copy_to(float* out, int64_t width) {
  return [=](int64_t row, int64_t some, int64_t first, const float* sums, int64_t count) {
    for (int64_t g = 0; g < count; ++g)
      for (int64_t r = 0; r < some; ++r)
        std::memcpy(out + (row + r) * width + first + g * OUT, sums + g * 256 + r * 16,
                    std::min(OUT, width - first - g * OUT) * sizeof(float));
  };
}

// The largest output of a row so far, among those of one thread.
struct Argmax { float score; int64_t index; };

inline auto track_argmax(Argmax* argmax, int64_t width) {
  return [=](int64_t row, int64_t some, int64_t first, const float* sums, int64_t count) {
    for (int64_t r = 0; r < some; ++r) {
      Argmax& mine = argmax[row + r];
      for (int64_t g = 0; g < count; ++g)
        for (int64_t c = 0; c < std::min(OUT, width - first - g * OUT); ++c)
          if (sums[g * 256 + r * 16 + c] > mine.score)
            mine = {sums[g * 256 + r * 16 + c], first + g * OUT + c};
    }
  };
}

// The index of a row's largest output over all threads. Threads have the outputs in order: the first
// one wins a tie.
inline int64_t merge_argmax(const Argmax* argmax, int64_t row, int64_t rows, int threads) {
  Argmax largest = argmax[row];
  for (int t = 1; t < threads; ++t)
    if (argmax[t * rows + row].score > largest.score) largest = argmax[t * rows + row];
  return largest.index;
}

// Row `token` of a packed matrix.
template <class W> void unpack_row(const Matrix<W>& m, int64_t token, float* out) {
  const int64_t depth = round_up(m.inputs, IN) / IN;
  const W* block = m.data + token / OUT * depth * BLOCK;
  for (int64_t i = 0; i < m.inputs; ++i)
    out[i] = float(block[i / PAIR<W> * OUT * PAIR<W> + token % OUT * PAIR<W> + i % PAIR<W>]);
}

}  // namespace
