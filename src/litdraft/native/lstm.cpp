// An LSTM's whole draft on a CPU: k steps in one parallel region.
//
// A step is three products: gates, output, head.

#include <torch/library.h>

#include "blocks.h"
#include "draws.h"
#include "lstm.h"

namespace {

template <class W>
std::tuple<at::Tensor, at::Tensor> draft_as(
    const at::Tensor& hidden_BD, const at::Tensor& token_B, const at::Tensor& embedding,
    double scale, const at::Tensor& begin, const at::Tensor& begin_bias, at::TensorList gates,
    at::TensorList biases, const at::Tensor& out, int64_t outputs, const at::Tensor& head,
    int64_t choices, const at::Tensor& vocabulary, double temperature,
    const at::Tensor& uniforms_BK) {
  const int64_t B = hidden_BD.size(0), D = hidden_BD.size(1), K = uniforms_BK.size(1);
  const int64_t layers = gates.size(), begun_width = begin_bias.size(0);
  const int64_t width = (begun_width - outputs) / (4 + 2 * layers);
  const bool greedy = temperature == 0;
  TORCH_CHECK(B > 0 && K > 0 && width % OUT == 0);
  check_tokens(token_B, embedding.numel() / round_up(D, IN));
  at::Tensor tokens_BK = at::empty({B, K}, token_B.options());
  at::Tensor probs_BKU = at::empty({B, greedy ? 0 : K, choices}, hidden_BD.options());
  int64_t* tokens = tokens_BK.mutable_data_ptr<int64_t>();
  float* probs = probs_BKU.mutable_data_ptr<float>();
  const float *bias = begin_bias.const_data_ptr<float>(), *given = hidden_BD.const_data_ptr<float>();
  const double* uniform = uniforms_BK.const_data_ptr<double>();
  const int64_t* ids = vocabulary.numel() ? vocabulary.const_data_ptr<int64_t>() : nullptr;
  const Matrix<W> start{begin.const_data_ptr<W>(), begun_width, D};
  const Matrix<W> table{embedding.const_data_ptr<W>(), 0, D};
  const Matrix<W> output{out.const_data_ptr<W>(), outputs, width};
  const Matrix<W> choice{head.const_data_ptr<W>(), choices, outputs};
  const int most = at::get_num_threads();

  std::vector<float> begun(B * begun_width), cell(layers * B * width);
  std::vector<float> step_logits(greedy ? 0 : B * choices);
  std::vector<Argmax> argmax(most * B);
  std::vector<int64_t> token(token_B.const_data_ptr<int64_t>(), token_B.const_data_ptr<int64_t>() + B);
  std::vector<float> input(B * D);
  std::vector<Rows<W>> below(layers);  // a layer's input: the layer below, and its own output
  Rows<W> top, state, first;
  first.size(B, D), top.size(B, width), state.size(B, outputs);
  for (int64_t layer = 0; layer < layers; ++layer) below[layer].size(B, (layer ? width : D) + width);
  for (int64_t n = 0; n < B; ++n)
    for (int64_t i = 0; i < D; ++i) put(first.row(n) + i, given[n * D + i]);
  Barrier barrier;

#pragma omp parallel num_threads(most)
  {
    const int rank = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp single
    barrier.threads = threads;
    const Share rows = share(B, rank, threads), units = share(width, rank, threads);
    auto read_token = [&](int64_t n) {
      unpack_row(table, token[n], input.data() + n * D);
      for (int64_t i = 0; i < D; ++i) put(below[0].row(n) + i, input[n * D + i] * float(scale));
    };
    multiply_all(start, first, B, rank, threads, 1, copy_to(begun.data(), begun_width));
    for (int64_t n = rows.first; n < rows.last; ++n) read_token(n);
    barrier.wait();
    for (int64_t n = 0; n < B; ++n) {
      float* mine = begun.data() + n * begun_width;
      const float* memory = mine + 4 * width + outputs;
      const float* memory_bias = bias + 4 * width + outputs;
      for (int64_t layer = 0; layer < layers; ++layer)
        for (int64_t u = units.first; u < units.last; ++u) {
          const int64_t at = layer * width + u, longer = (layers + layer) * width + u;
          below[layer].row(n)[(layer ? width : D) + u] = W(std::tanh(memory[at] + memory_bias[at]));
          cell[(layer * B + n) * width + u] = std::tanh(memory[longer] + memory_bias[longer]);
        }
    }
    barrier.wait();
    std::vector<double> mass;
    std::vector<float> fresh(B * width);  // published when all threads have read the old one
    for (int64_t j = 0; j < K; ++j) {
      for (int64_t layer = 0; layer < layers; ++layer) {
        const Matrix<W> gate{gates[layer].const_data_ptr<W>(), 4 * width, (layer ? width : D) + width};
        const float* gate_bias = layer ? biases[layer].const_data_ptr<float>() : bias;
        multiply_all(gate, below[layer], B, rank, threads, 4, cells(
            [&](int64_t n, int64_t which, int64_t u) {
              const float given = layer ? 0.f : begun[n * begun_width + which * width + u];
              return gate_bias[which * width + u] + given;
            },
            [&](int64_t n, int64_t u) { return cell[(layer * B + n) * width + u]; },
            [&](int64_t n, int64_t u, float kept, float output) {
              cell[(layer * B + n) * width + u] = kept;
              fresh[n * width + u] = output;
            }));
        barrier.wait();
        publish([&](int64_t n, int64_t u) { return fresh[n * width + u]; }, B, width, rank, threads,
             below[layer], layer ? width : D, layer + 1 < layers ? below[layer + 1] : top);
        barrier.wait();
      }
      multiply_all(output, top, B, rank, threads, 1,
                   [&](int64_t row, int64_t some, int64_t at, const float* sums, int64_t count) {
        for (int64_t g = 0; g < count; ++g)
          for (int64_t r = 0; r < some; ++r)
            for (int64_t c = 0; c < std::min(OUT, outputs - at - g * OUT); ++c) {
              const int64_t o = at + g * OUT + c, begun_at = 4 * width + o;
              state.row(row + r)[o] = W(sums[g * 256 + r * 16 + c] + bias[begun_at] +
                                        begun[(row + r) * begun_width + begun_at]);
            }
      });
      barrier.wait();
      for (int64_t n = 0; n < B; ++n) argmax[rank * B + n] = {-3e38f, 0};
      if (greedy)
        multiply_all(choice, state, B, rank, threads, 1,
                     track_argmax(argmax.data() + rank * B, choices));
      else
        multiply_all(choice, state, B, rank, threads, 1, copy_to(step_logits.data(), choices));
      barrier.wait();
      for (int64_t n = rows.first; n < rows.last; ++n) {
        int64_t index = 0;
        if (greedy) {
          index = merge_argmax(argmax.data(), n, B, threads);
        } else {
          const float* logits = step_logits.data() + n * choices;
          float *mine = probs + (n * K + j) * choices, top_logit = logits[0];
          double total = 0;
          for (int64_t u = 1; u < choices; ++u) top_logit = std::max(top_logit, logits[u]);
          for (int64_t u = 0; u < choices; ++u)
            total += mine[u] = std::exp((logits[u] - top_logit) / float(temperature));
          for (int64_t u = 0; u < choices; ++u) mine[u] = float(mine[u] / total);
          index = draw_token(mine, choices, uniform[n * K + j], mass);
        }
        token[n] = tokens[n * K + j] = ids ? ids[index] : index;
        read_token(n);
      }
      barrier.wait();
    }
    release<W>();
  }
  return {tokens_BK, probs_BKU};
}

std::tuple<at::Tensor, at::Tensor> draft(
    const at::Tensor& hidden_BD, const at::Tensor& token_B, const at::Tensor& embedding,
    double scale, const at::Tensor& begin, const at::Tensor& begin_bias, at::TensorList gates,
    at::TensorList biases, const at::Tensor& out, int64_t outputs, const at::Tensor& head,
    int64_t choices, const at::Tensor& vocabulary, double temperature,
    const at::Tensor& uniforms_BK) {
  auto run = begin.scalar_type() == at::kBFloat16 ? draft_as<at::BFloat16> : draft_as<float>;
  return run(hidden_BD.contiguous(), token_B.contiguous(), embedding, scale, begin, begin_bias, gates,
             biases, out, outputs, head, choices, vocabulary, temperature, uniforms_BK.contiguous());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(litdraft, m) {
  m.def("lstm_draft(Tensor hidden, Tensor token, Tensor embedding, float scale, Tensor begin, "
        "Tensor begin_bias, Tensor[] gates, Tensor[] biases, Tensor out, int outputs, Tensor head, "
        "int choices, Tensor vocabulary, float temperature, Tensor uniforms) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(litdraft, CPU, m) { m.impl("lstm_draft", &draft); }
