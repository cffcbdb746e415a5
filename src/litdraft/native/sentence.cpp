// A sentence model's draft on a CPU: an LSTM that reads tokens alone, its likeliest token at every
// step and the probability that it is right; the draft ends when no row passes the stop rule.

#include <torch/library.h>

#include "blocks.h"
#include "lstm.h"

namespace {

// Of a thread's part of a row's logits: the largest, and the sum of exp(logit - largest).
struct Part { Argmax argmax; float mass; };

struct Score { float odds, shift; };                    // of the confidence
struct StopRule { double scale, shift, threshold; bool cumulative; };  // threshold 0: none

// The probability of a score's log odds, as a logarithm.
inline float log_sigmoid(float z) {
  return std::min(z, 0.f) - std::log1p(std::exp(-std::abs(z)));
}

template <class W>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> draft_as(
    const at::Tensor& memory_BM, const at::Tensor& token_B, const at::Tensor& embedding,
    at::TensorList gates, at::TensorList biases, const at::Tensor& head, int64_t choices,
    const at::Tensor& vocabulary, const at::Tensor& weight_C, Score score, StopRule rule, int64_t K) {
  const int64_t B = memory_BM.size(0), M = memory_BM.size(1), layers = gates.size();
  const int64_t width = M / (2 * layers), weighed = weight_C.numel();
  TORCH_CHECK(B > 0 && K > 0 && width % OUT == 0 && weighed <= width);
  check_tokens(token_B, embedding.numel() / round_up(width, IN));
  at::Tensor tokens_BK = at::empty({B, K}, token_B.options());
  at::Tensor valid_BK = at::empty({B, K}, token_B.options().dtype(at::kBool));
  at::Tensor after_BPM = at::empty({B, K + 1, M}, memory_BM.options());
  at::Tensor confidence_BK = at::empty({B, K}, memory_BM.options());
  int64_t* tokens = tokens_BK.mutable_data_ptr<int64_t>();
  bool* valid = valid_BK.mutable_data_ptr<bool>();
  float* after = after_BPM.mutable_data_ptr<float>();
  float* confidence = confidence_BK.mutable_data_ptr<float>();
  const float* begun = memory_BM.const_data_ptr<float>();
  const float* weight = weight_C.const_data_ptr<float>();
  const int64_t* ids = vocabulary.numel() ? vocabulary.const_data_ptr<int64_t>() : nullptr;
  const Matrix<W> table{embedding.const_data_ptr<W>(), 0, width};
  const Matrix<W> choice{head.const_data_ptr<W>(), choices, width};
  const int most = at::get_num_threads();

  std::vector<float> logits(B * choices), input(B * width), chance(B, 0.f);
  std::vector<Part> parts(most * B);
  std::vector<char> sure(B, 1);
  std::vector<int64_t> token(token_B.const_data_ptr<int64_t>(), token_B.const_data_ptr<int64_t>() + B);
  std::vector<Rows<W>> below(layers);  // a layer's input: the layer below, and its own output
  Rows<W> top;
  top.size(B, width);
  for (auto& rows : below) rows.size(B, 2 * width);
  for (int64_t layer = 0; layer < layers; ++layer)
    for (int64_t n = 0; n < B; ++n)
      for (int64_t u = 0; u < width; ++u)
        put(below[layer].row(n) + width + u, begun[n * M + layer * width + u]);
  int64_t drafts = 0, steps = 0;
  Barrier barrier;

#pragma omp parallel num_threads(most)
  {
    const int rank = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp single
    barrier.threads = threads;
    const Share rows = share(B, rank, threads), some = share(choices, rank, threads);
    auto read_token = [&](int64_t n) {
      unpack_row(table, token[n], input.data() + n * width);
      for (int64_t i = 0; i < width; ++i) put(below[0].row(n) + i, input[n * width + i]);
    };
    for (int64_t n = rows.first; n < rows.last; ++n) read_token(n);
    barrier.wait();
    int64_t j = 0;
    for (bool going = true;; ++j) {
      auto now = [&](int64_t n) { return after + (n * (K + 1) + j) * M; };
      auto before = [&](int64_t n) { return j ? now(n) - M : begun + n * M; };
      for (int64_t layer = 0; layer < layers; ++layer) {
        const Matrix<W> matrix{gates[layer].const_data_ptr<W>(), 4 * width, 2 * width};
        const float* bias = biases[layer].const_data_ptr<float>();
        const int64_t brief = layer * width, lasting = (layers + layer) * width;
        multiply_all(matrix, below[layer], B, rank, threads, 4, cells(
            [&](int64_t, int64_t which, int64_t u) { return bias[which * width + u]; },
            [&](int64_t n, int64_t u) { return before(n)[lasting + u]; },
            [&](int64_t n, int64_t u, float kept, float output) {
              now(n)[lasting + u] = kept;
              now(n)[brief + u] = output;
            }));
        barrier.wait();
        publish([&](int64_t n, int64_t u) { return now(n)[brief + u]; }, B, width, rank, threads,
             below[layer], width, layer + 1 < layers ? below[layer + 1] : top);
        barrier.wait();
      }
      if (j == K) break;  // the last draft is read as well: it may be kept
      multiply_all(choice, top, B, rank, threads, 1, copy_to(logits.data(), choices));
      barrier.wait();
      for (int64_t n = 0; n < B; ++n) {
        const float *row = logits.data() + n * choices, *from = row + some.first, *to = row + some.last;
        float largest = -3e38f, mass = 0;  // loops that compilers turn into vectors
        for (const float* at = from; at < to; ++at) largest = std::max(largest, *at);
        for (const float* at = from; at < to; ++at) mass += std::exp(*at - largest);
        const int64_t index = std::min<int64_t>(std::find(from, to, largest) - row, choices - 1);  // NaN
        parts[rank * B + n] = {{largest, index}, mass};
      }
      barrier.wait();
      for (int64_t n = rows.first; n < rows.last; ++n) {
        Argmax argmax = parts[n].argmax;
        for (int t = 1; t < threads; ++t)
          if (parts[t * B + n].argmax.score > argmax.score) argmax = parts[t * B + n].argmax;
        double mass = 0;
        for (int t = 0; t < threads; ++t)
          mass += parts[t * B + n].mass * std::exp(parts[t * B + n].argmax.score - argmax.score);
        const double log_prob = std::min(-std::log(mass), -1e-6);
        double log_odds = score.odds * (log_prob - std::log(-std::expm1(log_prob))) + score.shift;
        for (int64_t c = 0; c < weighed; ++c) log_odds += now(n)[(layers - 1) * width + c] * weight[c];
        const float log = log_sigmoid(float(rule.scale * log_odds + rule.shift));
        confidence[n * K + j] = std::exp(log);
        if (rule.threshold > 0) {
          chance[n] = rule.cumulative ? chance[n] + log : log;
          sure[n] = sure[n] && std::exp(chance[n]) >= rule.threshold;
        }
        token[n] = tokens[n * K + j] = ids ? ids[argmax.index] : argmax.index;
        valid[n * K + j] = sure[n];
        read_token(n);
      }
      barrier.wait();
      going = std::any_of(sure.begin(), sure.end(), [](char one) { return one != 0; });
      if (!going) break;
    }
    if (rank == 0) drafts = std::min(j + 1, K), steps = j + 1;
    release<W>();
  }
  return {tokens_BK.narrow(1, 0, drafts), valid_BK.narrow(1, 0, drafts),
          after_BPM.narrow(1, 0, steps), confidence_BK.narrow(1, 0, drafts)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> draft(
    const at::Tensor& memory_BM, const at::Tensor& token_B, const at::Tensor& embedding,
    at::TensorList gates, at::TensorList biases, const at::Tensor& head, int64_t choices,
    const at::Tensor& vocabulary, const at::Tensor& weight_C, double odds, double offset,
    double scale, double shift, double threshold, bool cumulative, int64_t k) {
  auto run = head.scalar_type() == at::kBFloat16 ? draft_as<at::BFloat16> : draft_as<float>;
  return run(memory_BM.contiguous(), token_B.contiguous(), embedding, gates, biases, head, choices,
             vocabulary, weight_C, {float(odds), float(offset)}, {scale, shift, threshold, cumulative}, k);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(litdraft, m) {
  m.def("sentence_draft(Tensor memory, Tensor token, Tensor embedding, Tensor[] gates, "
        "Tensor[] biases, Tensor head, int choices, Tensor vocabulary, Tensor weight, float odds, "
        "float offset, float scale, float shift, float threshold, bool cumulative, int k) "
        "-> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(litdraft, CPU, m) { m.impl("sentence_draft", &draft); }
