// Passes of a Llama over few tokens on a CPU: one parallel region per pass, weights read once.
//
// The residual stream is float32; keys and values have the cache's type.

#include <torch/library.h>

#include <cmath>

#include "blocks.h"

namespace {

struct Shape { int64_t vocabulary, width, layers, heads, kv_heads, head_width, inner; };

Shape shape_of(at::IntArrayRef n) { return {n[0], n[1], n[2], n[3], n[4], n[5], n[6]}; }

template <class W> struct Layer { Matrix<W> qkv, out, gate_up, down; };

template <class W> Matrix<W> take(const W*& at, int64_t outputs, int64_t inputs) {
  const Matrix<W> matrix{at, outputs, inputs};
  at += round_up(outputs, OUT) * round_up(inputs, IN);
  return matrix;
}

template <class W> Layer<W> take_layer(const W*& at, const Shape& s) {
  const int64_t heads = s.heads + 2 * s.kv_heads;
  Layer<W> layer;
  layer.qkv = take(at, heads * s.head_width, s.width);
  layer.out = take(at, s.width, s.heads * s.head_width);
  layer.gate_up = take(at, 2 * round_up(s.inner, OUT), s.width);
  layer.down = take(at, s.width, s.inner);
  return layer;
}

// RMSNorm of a row (Zhang and Sennrich, arXiv 1910.07467).
template <class W>
void normalize(const float* __restrict x, const float* __restrict weight, int64_t n, float eps,
               W* __restrict out) {
  float squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float scale = 1.f / std::sqrt(squares / n + eps);
  for (int64_t i = 0; i < n; ++i) put(out + i, x[i] * scale * weight[i]);
}

// Rotary position of one head: pairs (i, i + n / 2); sin carries the sign of its first half.
void rotate(const float* __restrict x, const float* __restrict cos, const float* __restrict sin,
            int64_t n, float* __restrict out) {
  const int64_t half = n / 2;
  for (int64_t i = 0; i < half; ++i) {
    out[i] = x[i] * cos[i] + x[i + half] * sin[i];
    out[i + half] = x[i + half] * cos[i + half] + x[i] * sin[i + half];
  }
}

// Shared by all threads of a pass.
template <class W> struct Pass {
  Shape s;
  int64_t count;  // P
  const int64_t* length_B;
  const int64_t* depth_BP;     // of a draft tree; null: a chain
  const bool* ancestors_BPP;   // which tokens of the pass each one sees
  const float *cos_TE, *sin_TE;
  std::vector<float> x_nD, qkv;
  Rows<W> normal, attended, inner;

  int64_t position(int64_t row, int64_t p) const {
    return length_B[row] + (depth_BP ? depth_BP[row * count + p] : p);
  }
  const float* heads(int64_t n, int64_t head) const {
    return qkv.data() + (n * (s.heads + 2 * s.kv_heads) + head) * s.head_width;
  }
};

// A thread's buffers for attention.
template <class W> struct Scratch {
  Rows<W> queries, weights;
  std::vector<float> scores, rotated;
};

// In a draft tree a token sees only its ancestors among the tokens of its pass.
template <class W> void mask_others(const Pass<W>& pass, int64_t row, int64_t p, float* scores) {
  const bool* ancestors = pass.ancestors_BPP + (row * pass.count + p) * pass.count;
  for (int64_t j = 0; j <= p; ++j)
    if (!ancestors[j]) scores[j] = -1e30f;
}

// One row's queries that share a head of keys: store the new keys and values, then attend.
// Both are packed matrices, so that scores and weighted sums use `product`: for keys a slot is an
// output, [slot / 16][E / 32][32 / pair][16][pair], for values an input,
// [slot / 32][E / 16][32 / pair][16][pair].
template <class W>
void attend(Pass<W>& pass, W* keys, W* values, int64_t row, int64_t kv, Scratch<W>& scratch) {
  const Shape& s = pass.s;
  const int64_t E = s.head_width, deep = round_up(E, IN) / IN, wide = round_up(E, OUT) / OUT;
  const int64_t shared = s.heads / s.kv_heads, start = pass.length_B[row];
  const int64_t slots = round_up(start + pass.count, IN);
  scratch.rotated.resize(E);
  float* rotated = scratch.rotated.data();
  for (int64_t p = 0; p < pass.count; ++p) {
    const int64_t n = row * pass.count + p, t = start + p, at = pass.position(row, p) * E;
    const float* value = pass.heads(n, s.heads + s.kv_heads + kv);
    rotate(pass.heads(n, s.heads + kv), pass.cos_TE + at, pass.sin_TE + at, E, rotated);
    W* key = keys + t / OUT * deep * BLOCK + t % OUT * PAIR<W>;
    for (int64_t e = 0; e < E; ++e) put(key + e / PAIR<W> * OUT * PAIR<W> + e % PAIR<W>, rotated[e]);
    W* slot = values + t / IN * wide * BLOCK + t % IN / PAIR<W> * OUT * PAIR<W> + t % PAIR<W>;
    for (int64_t e = 0; e < E; ++e) put(slot + e / OUT * BLOCK + e % OUT * PAIR<W>, value[e]);
  }
  alignas(64) float sums[GROUP * 256];
  const int64_t all = pass.count * shared;
  scratch.queries.size(16, E), scratch.weights.size(16, slots), scratch.scores.resize(16 * slots);
  for (int64_t first = 0; first < all; first += 16) {
    const int64_t some = std::min<int64_t>(16, all - first);
    auto token = [&](int64_t q) { return row * pass.count + (first + q) / shared; };
    auto head = [&](int64_t q) { return kv * shared + (first + q) % shared; };
    auto visible = [&](int64_t q) { return start + (first + q) / shared + 1; };
    for (int64_t q = 0; q < some; ++q) {
      const int64_t at = pass.position(row, (first + q) / shared) * E;
      rotate(pass.heads(token(q), head(q)), pass.cos_TE + at, pass.sin_TE + at, E, rotated);
      W* query = scratch.queries.row(q);
      for (int64_t e = 0; e < E; ++e) put(query + e, rotated[e]);
    }
    prepare<W>(some);
    const int64_t key_blocks = round_up(visible(some - 1), OUT) / OUT;
    for (int64_t at = 0; at < key_blocks; at += GROUP) {
      const int64_t count = std::min(GROUP, key_blocks - at);
      const Blocks<W> blocks{keys + at * deep * BLOCK, deep, BLOCK, deep * BLOCK};
      product(scratch.queries.row(0), scratch.queries.stride, some, blocks, count, sums);
      for (int64_t g = 0; g < count; ++g)
        for (int64_t q = 0; q < some; ++q)
          std::memcpy(scratch.scores.data() + q * slots + (at + g) * OUT, sums + g * 256 + q * 16, 64);
    }
    float mass[16];
    const float scale = 1.f / std::sqrt(float(E));
    for (int64_t q = 0; q < some; ++q) {
      float* __restrict scores = scratch.scores.data() + q * slots;
      W* __restrict weights = scratch.weights.row(q);
      const int64_t n = visible(q);
      if (pass.ancestors_BPP) mask_others(pass, row, (first + q) / shared, scores + start);
      float top = scores[0], total = 0;
      for (int64_t t = 1; t < n; ++t) top = std::max(top, scores[t]);
      for (int64_t t = 0; t < n; ++t) {
        const float weight = std::exp((scores[t] - top) * scale);
        put(weights + t, weight), total += weight;
      }
      for (int64_t t = n; t < slots; ++t) weights[t] = W(0.f);
      mass[q] = total;
    }
    const int64_t depth = round_up(visible(some - 1), IN) / IN;
    for (int64_t at = 0; at < wide; at += GROUP) {
      const int64_t count = std::min(GROUP, wide - at);
      const Blocks<W> blocks{values + at * BLOCK, depth, wide * BLOCK, BLOCK};
      product(scratch.weights.row(0), scratch.weights.stride, some, blocks, count, sums);
      for (int64_t q = 0; q < some; ++q) {
        W* out = pass.attended.row(token(q)) + head(q) * E;
        for (int64_t e = at * OUT; e < std::min(E, (at + count) * OUT); ++e)
          put(out + e, sums[(e / OUT - at) * 256 + q * 16 + e % OUT] / mass[q]);
      }
    }
  }
}

template <class W>
std::tuple<at::Tensor, at::Tensor> read_as(
    const at::Tensor& packed, at::IntArrayRef shape, double eps, const at::Tensor& norms,
    const at::Tensor& rotary, const at::Tensor& tokens_BP, const at::Tensor& length_B,
    const at::Tensor& keys, const at::Tensor& values, at::IntArrayRef taps,
    const std::optional<at::Tensor>& depth_BP, const std::optional<at::Tensor>& ancestors_BPP) {
  const std::lock_guard<std::mutex> lock(operation_mutex());
  static Pass<W> pass;  // static: its buffers grow once
  const Shape s = pass.s = shape_of(shape);
  const int64_t B = tokens_BP.size(0), P = tokens_BP.size(1), rows = B * P, D = s.width;
  TORCH_CHECK(rows > 0 && keys.is_contiguous() && values.is_contiguous() && length_B.is_contiguous());
  TORCH_CHECK(keys.scalar_type() == packed.scalar_type() && keys.size(1) == B && length_B.numel() == B);
  check_tokens(tokens_BP, s.vocabulary);
  const int64_t slots = std::min(keys.size(3) / round_up(s.head_width, IN), rotary.size(1));
  for (int64_t n = 0; n < B; ++n) {
    const int64_t start = length_B.const_data_ptr<int64_t>()[n];
    TORCH_CHECK_INDEX(start >= 0 && start + P <= slots, P, " tokens after ", start,
                      " do not fit a cache of ", slots);
  }
  pass.count = P;
  pass.length_B = length_B.const_data_ptr<int64_t>();
  TORCH_CHECK(depth_BP.has_value() == ancestors_BPP.has_value(), "a tree has depths and ancestors");
  if (depth_BP) {
    TORCH_CHECK(depth_BP->is_contiguous() && depth_BP->numel() == rows &&
                ancestors_BPP->is_contiguous() && ancestors_BPP->numel() == rows * P);
    const int64_t* depth = depth_BP->const_data_ptr<int64_t>();
    for (int64_t n = 0; n < rows; ++n)
      TORCH_CHECK_INDEX(depth[n] >= 0 && depth[n] < P, "depth ", depth[n], " in a tree of ", P);
  }
  pass.depth_BP = depth_BP ? depth_BP->const_data_ptr<int64_t>() : nullptr;
  pass.ancestors_BPP = ancestors_BPP ? ancestors_BPP->const_data_ptr<bool>() : nullptr;
  pass.cos_TE = rotary.const_data_ptr<float>();
  pass.sin_TE = pass.cos_TE + rotary.size(1) * rotary.size(2);
  pass.x_nD.resize(rows * D);
  const int64_t wide = (s.heads + 2 * s.kv_heads) * s.head_width;
  pass.qkv.resize(rows * wide);
  pass.attended.size(rows, s.heads * s.head_width);
  pass.inner.size(rows, s.inner);
  if (rows > 8) pass.normal.size(rows, D);
  at::Tensor hidden = at::empty({B, P, D}, norms.options());
  at::Tensor tapped = at::empty({B, P, int64_t(taps.size()) * D}, norms.options());
  const int64_t one_key = keys.size(3), one_value = values.size(3);
  const W* weights = packed.const_data_ptr<W>();
  W *all_keys = keys.mutable_data_ptr<W>(), *all_values = values.mutable_data_ptr<W>();
  const float* scales = norms.const_data_ptr<float>();
  const int64_t* tokens = tokens_BP.const_data_ptr<int64_t>();
  float *final = hidden.mutable_data_ptr<float>(), *tap = tapped.mutable_data_ptr<float>();
  Barrier barrier;

#pragma omp parallel num_threads(at::get_num_threads())
  {
    const int rank = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp single
    barrier.threads = threads;
    // Every thread normalizes few rows for itself, which saves a barrier.
    Rows<W> private_rows;
    if (rows <= 8) private_rows.size(rows, D);
    Rows<W>& normal = rows <= 8 ? private_rows : pass.normal;
    Scratch<W> scratch;
    float* x = pass.x_nD.data();
    const Share mine = share(rows, rank, threads);
    auto keep_tap = [&](int64_t layer) {
      for (size_t i = 0; i < taps.size(); ++i)
        if (taps[i] == layer)
          for (int64_t n = mine.first; n < mine.last; ++n)
            std::memcpy(tap + (n * taps.size() + i) * D, x + n * D, D * sizeof(float));
    };
    auto norm_all = [&](int64_t which) {
      const Share some = rows <= 8 ? Share{0, rows} : mine;
      for (int64_t n = some.first; n < some.last; ++n)
        normalize(x + n * D, scales + which * D, D, float(eps), normal.row(n));
      if (rows > 8) barrier.wait();
    };
    auto add = [&](int64_t row, int64_t some, int64_t first, const float* sums, int64_t count) {
      for (int64_t g = 0; g < count; ++g)
        for (int64_t r = 0; r < some; ++r) {
          float* __restrict out = x + (row + r) * D + first + g * OUT;
          const float* __restrict sum = sums + g * 256 + r * 16;
          const int64_t left = D - first - g * OUT;
          if (left >= OUT)
            for (int64_t c = 0; c < OUT; ++c) out[c] += sum[c];
          else
            for (int64_t c = 0; c < left; ++c) out[c] += sum[c];
        }
    };

    const W* at = weights;
    const Matrix<W> embedding = take(at, s.vocabulary, D);
    for (int64_t n = mine.first; n < mine.last; ++n) unpack_row(embedding, tokens[n], x + n * D);
    keep_tap(0);
    barrier.wait();
    for (int64_t l = 0; l < s.layers; ++l) {
      const Layer<W> layer = take_layer(at, s);
      norm_all(2 * l);
      multiply_all(layer.qkv, normal, rows, rank, threads, 1,
                   copy_to(pass.qkv.data(), wide));
      barrier.wait();
      const Share items = share(B * s.kv_heads, rank, threads);
      for (int64_t i = items.first; i < items.last; ++i) {
        const int64_t from = l * B * s.kv_heads + i;
        attend(pass, all_keys + from * one_key, all_values + from * one_value, i / s.kv_heads,
               i % s.kv_heads, scratch);
      }
      barrier.wait();
      multiply_all(layer.out, pass.attended, rows, rank, threads, 1, add);
      barrier.wait();
      norm_all(2 * l + 1);
      multiply_all(layer.gate_up, normal, rows, rank, threads, 2,  // a block of gates, one of ups
                   [&](int64_t row, int64_t some, int64_t first, const float* sums, int64_t count) {
                     for (int64_t g = 0; g < count; g += 2)
                       for (int64_t r = 0; r < some; ++r) {
                         W* __restrict out = pass.inner.row(row + r) + (first + g * OUT) / 2;
                         const float* __restrict gate = sums + g * 256 + r * 16;
                         const float* __restrict up = gate + 256;
                         for (int64_t c = 0; c < OUT; ++c)
                           put(out + c, gate[c] * sigmoid(gate[c]) * up[c]);
                       }
                   });
      barrier.wait();
      multiply_all(layer.down, pass.inner, rows, rank, threads, 1, add);
      barrier.wait();
      keep_tap(l + 1);
    }
    for (int64_t n = mine.first; n < mine.last; ++n)
      normalize(x + n * D, scales + 2 * s.layers * D, D, float(eps), final + n * D);
    release<W>();
  }
  return {hidden, tapped};
}

std::tuple<at::Tensor, at::Tensor> fused_read(
    const at::Tensor& packed, at::IntArrayRef shape, double eps, const at::Tensor& norms,
    const at::Tensor& rotary, const at::Tensor& tokens_BP, const at::Tensor& length_B,
    const at::Tensor& keys, const at::Tensor& values, at::IntArrayRef taps,
    const std::optional<at::Tensor>& depth_BP, const std::optional<at::Tensor>& ancestors_BPP) {
  auto run = packed.scalar_type() == at::kBFloat16 ? read_as<bf16> : read_as<float>;
  auto contiguous = [](const std::optional<at::Tensor>& given) {
    return given ? std::optional(given->contiguous()) : std::nullopt;
  };
  return run(packed, shape, eps, norms, rotary, tokens_BP.contiguous(), length_B, keys, values, taps,
             contiguous(depth_BP), contiguous(ancestors_BPP));
}

// y = W x for few rows, W packed: all outputs, or only the index of the largest.
template <class W>
at::Tensor linear_as(const at::Tensor& packed, int64_t outputs, const at::Tensor& x_nD,
                     bool only_argmax) {
  const std::lock_guard<std::mutex> lock(operation_mutex());
  const int64_t rows = x_nD.size(0), inputs = x_nD.size(1);
  TORCH_CHECK(packed.numel() >= round_up(outputs, OUT) * round_up(inputs, IN),
              "the packed matrix is too small for these shapes");
  const float* given = x_nD.const_data_ptr<float>();
  static Rows<W> x;
  x.size(rows, inputs);
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t i = 0; i < inputs; ++i) put(x.row(n) + i, given[n * inputs + i]);
  const int most = at::get_num_threads();
  at::Tensor result = only_argmax ? at::empty({rows}, x_nD.options().dtype(at::kLong))
                                : at::empty({rows, outputs}, x_nD.options());
  if (rows == 0) return result;
  std::vector<Argmax> argmax(only_argmax ? most * rows : 0, Argmax{-3e38f, 0});
  const Matrix<W> matrix{packed.const_data_ptr<W>(), outputs, inputs};
#pragma omp parallel num_threads(most)
  {
    const int rank = omp_get_thread_num(), threads = omp_get_num_threads();
    if (only_argmax)
      multiply_all(matrix, x, rows, rank, threads, 1,
                   track_argmax(argmax.data() + rank * rows, outputs));
    else
      multiply_all(matrix, x, rows, rank, threads, 1,
                   copy_to(result.mutable_data_ptr<float>(), outputs));
    release<W>();
  }
  for (int64_t n = 0; only_argmax && n < rows; ++n)
    result.mutable_data_ptr<int64_t>()[n] = merge_argmax(argmax.data(), n, rows, most);
  return result;
}

at::Tensor multiplied(const at::Tensor& packed, int64_t outputs, const at::Tensor& x_nD, bool argmax) {
  auto run = packed.scalar_type() == at::kBFloat16 ? linear_as<bf16> : linear_as<float>;
  return run(packed, outputs, x_nD.contiguous(), argmax);
}
at::Tensor fused_linear(const at::Tensor& packed, int64_t outputs, const at::Tensor& x_nD) {
  return multiplied(packed, outputs, x_nD, false);
}
at::Tensor fused_argmax(const at::Tensor& packed, int64_t outputs, const at::Tensor& x_nD) {
  return multiplied(packed, outputs, x_nD, true);
}

// Rows of a packed matrix, in float32.
at::Tensor fused_embed(const at::Tensor& packed, int64_t width, const at::Tensor& given_n) {
  const at::Tensor tokens_n = given_n.contiguous();
  check_tokens(tokens_n, packed.numel() / round_up(width, IN));
  at::Tensor result = at::empty({tokens_n.size(0), width}, packed.options().dtype(at::kFloat));
  float* out = result.mutable_data_ptr<float>();
  for (int64_t n = 0; n < tokens_n.size(0); ++n) {
    const int64_t token = tokens_n.const_data_ptr<int64_t>()[n];
    if (packed.scalar_type() == at::kBFloat16)
      unpack_row(Matrix<bf16>{packed.const_data_ptr<bf16>(), 0, width}, token, out + n * width);
    else
      unpack_row(Matrix<float>{packed.const_data_ptr<float>(), 0, width}, token, out + n * width);
  }
  return result;
}

}  // namespace

TORCH_LIBRARY(litdraft, m) {
  m.def("read(Tensor packed, int[] shape, float eps, Tensor norms, Tensor rotary, Tensor tokens, "
        "Tensor length, Tensor(a!) keys, Tensor(b!) values, int[] taps, Tensor? depth=None, "
        "Tensor? ancestors=None) -> (Tensor, Tensor)");
  m.def("linear(Tensor packed, int outputs, Tensor x) -> Tensor");
  m.def("argmax(Tensor packed, int outputs, Tensor x) -> Tensor");
  m.def("embed(Tensor packed, int width, Tensor tokens) -> Tensor");
}

TORCH_LIBRARY_IMPL(litdraft, CPU, m) {
  m.impl("read", &fused_read);
  m.impl("linear", &fused_linear);
  m.impl("argmax", &fused_argmax);
  m.impl("embed", &fused_embed);
}
