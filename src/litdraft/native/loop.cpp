// The small operations of a round on a CPU, one call each instead of dozens; bit for bit equal to
// decoding/verify.py, protocols/context.py and sampling.py.

#pragma GCC optimize("no-fast-math")

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "draws.h"

namespace {

at::Tensor draw(const at::Tensor& weights_nV, const at::Tensor& uniforms_n) {
  TORCH_CHECK(weights_nV.is_contiguous() && uniforms_n.is_contiguous());
  const int64_t rows = weights_nV.size(0), V = weights_nV.size(1);
  at::Tensor tokens_n = at::empty({rows}, weights_nV.options().dtype(at::kLong));
  std::vector<double> mass;
  for (int64_t n = 0; n < rows; ++n)
    tokens_n.mutable_data_ptr<int64_t>()[n] =
        draw_token(weights_nV.const_data_ptr<float>() + n * V, V,
                   uniforms_n.const_data_ptr<double>()[n], mass);
  return tokens_n;
}

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

at::Tensor uniforms(int64_t seed, const at::Tensor& row, const at::Tensor& begun, int64_t count) {
  const at::Tensor row_B = row.contiguous(), round_B = begun.contiguous();
  const int64_t rows = row_B.size(0);
  at::Tensor result = at::empty({rows, count}, row_B.options().dtype(at::kDouble));
  for (int64_t n = 0; n < rows; ++n) {
    const uint64_t row = row_B.const_data_ptr<int64_t>()[n], round = round_B.const_data_ptr<int64_t>()[n];
    const uint64_t key = mix(mix(mix(seed) + row) + round);
    for (int64_t i = 0; i < count; ++i)
      result.mutable_data_ptr<double>()[n * count + i] = double(mix(key + i) >> 11) * 0x1p-53;
  }
  return result;
}

// Verify a chain and write the verdict after every row that is not done.
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> commit(
    const at::Tensor& drafts_BK, const std::optional<at::Tensor>& probs_BKU,
    const std::optional<at::Tensor>& valid_BK, const std::optional<at::Tensor>& vocabulary_U,
    const at::Tensor& answers, const at::Tensor& uniforms_BP, const at::Tensor& tokens_BT,
    const at::Tensor& length_B, const at::Tensor& known_B, const at::Tensor& done_B,
    const at::Tensor& round_B, const at::Tensor& limit_B, const at::Tensor& ends_BE) {
  const int64_t B = drafts_BK.size(0), K = drafts_BK.size(1), P = K + 1, T = tokens_BT.size(1);
  for (int64_t n = 0; n < B; ++n)
    TORCH_CHECK_INDEX(known_B.const_data_ptr<int64_t>()[n] + P <= T, "a row has no space for a round");
  for (const at::Tensor& some : {drafts_BK, answers, uniforms_BP, tokens_BT, length_B, known_B, done_B,
                                 round_B, limit_B, ends_BE})
    TORCH_CHECK(some.is_contiguous(), "commit reads contiguous tensors alone");
  TORCH_CHECK(!probs_BKU || probs_BKU->is_contiguous());
  const bool greedy = answers.scalar_type() == at::kLong;
  const int64_t V = greedy ? 0 : answers.size(2), U = probs_BKU ? probs_BKU->size(2) : 0;
  at::Tensor given_BP = at::empty({B, P}, drafts_BK.options());
  at::Tensor count_B = at::empty({B}, drafts_BK.options());
  at::Tensor drafted_B = at::empty({B}, drafts_BK.options());
  at::Tensor emitted_B = at::empty({B}, drafts_BK.options());
  const int64_t *drafts = drafts_BK.const_data_ptr<int64_t>(), *all_ends = ends_BE.const_data_ptr<int64_t>();
  const int64_t ends = ends_BE.size(1);
  const int64_t* ids = vocabulary_U ? vocabulary_U->const_data_ptr<int64_t>() : nullptr;
  const double* uniform = uniforms_BP.const_data_ptr<double>();
  std::vector<float> residual(V);
  std::vector<double> mass;
  for (int64_t n = 0; n < B; ++n) {
    const int64_t* draft = drafts + n * K;
    const int64_t* argmax = greedy ? answers.const_data_ptr<int64_t>() + n * P : nullptr;
    const float* target = greedy ? nullptr : answers.const_data_ptr<float>() + n * P * V;
    const float* drafter = probs_BKU ? probs_BKU->const_data_ptr<float>() + n * K * U : nullptr;
    int64_t* given = given_BP.mutable_data_ptr<int64_t>() + n * P;
    int64_t drafted = K, kept = 0;
    if (valid_BK) {
      const bool* valid = valid_BK->const_data_ptr<bool>() + n * K;
      drafted = std::count(valid, valid + K, true);
    }
    auto column = [&](int64_t token) {
      return ids ? std::lower_bound(ids, ids + U, token) - ids : token;
    };
    for (; kept < drafted; ++kept) {
      const int64_t token = draft[kept];
      if (greedy ? token != argmax[kept]
                  : !(uniform[n * P + kept] * (drafter ? drafter[kept * U + column(token)] : 1.f) <
                      target[kept * V + token]))
        break;
    }
    if (greedy) {
      std::copy(argmax, argmax + P, given);
    } else {
      const float* weights = target + kept * V;
      if (kept < drafted) {
        std::copy(weights, weights + V, residual.begin());
        if (!drafter) residual[draft[kept]] = 0;
        for (int64_t u = 0; u < U; ++u) residual[ids ? ids[u] : u] -= drafter[kept * U + u];
        bool some = false;
        for (float& weight : residual) weight = std::max(weight, 0.f), some |= weight > 0;
        if (some) weights = residual.data();
      }
      std::copy(draft, draft + K, given);
      given[K] = given[kept] = draw_token(weights, V, uniform[n * P + K], mass);
    }

    bool& done = done_B.mutable_data_ptr<bool>()[n];
    int64_t &length = length_B.mutable_data_ptr<int64_t>()[n], &known = known_B.mutable_data_ptr<int64_t>()[n];
    const int64_t limit = limit_B.const_data_ptr<int64_t>()[n], count = done ? 0 : kept + 1;
    std::copy(given, given + P, tokens_BT.mutable_data_ptr<int64_t>() + n * T + known);
    int64_t emitted = 0;
    for (bool over = false; emitted < count && !over; ++emitted) {
      const int64_t* end = all_ends + n * ends;
      over = std::find(end, end + ends, given[emitted]) != end + ends;
      done |= over;
    }
    known += count;
    const int64_t before = length;
    length = std::min(length + emitted, limit);
    emitted_B.mutable_data_ptr<int64_t>()[n] = length - before;
    done |= length >= limit;
    round_B.mutable_data_ptr<int64_t>()[n] += 1;
    count_B.mutable_data_ptr<int64_t>()[n] = count;
    drafted_B.mutable_data_ptr<int64_t>()[n] = drafted;
  }
  return {given_BP, count_B, drafted_B, emitted_B};
}

// Each row's last counted hidden state, into `out`; a row without any keeps what it has.
void last_hidden(const at::Tensor& hidden_BPD, const at::Tensor& count_B, const at::Tensor& out_BD) {
  const int64_t P = hidden_BPD.size(1), D = hidden_BPD.size(2);
  TORCH_CHECK(hidden_BPD.is_contiguous() && count_B.is_contiguous());
  TORCH_CHECK(out_BD.is_contiguous() && out_BD.size(1) == D && out_BD.size(0) == count_B.size(0));
  for (int64_t n = 0; n < count_B.size(0); ++n) {
    const int64_t count = count_B.const_data_ptr<int64_t>()[n];
    TORCH_CHECK_INDEX(count <= P, count, " tokens count, but ", P, " were read");
    const float* row = hidden_BPD.const_data_ptr<float>() + (n * P + count - 1) * D;
    if (count > 0) std::copy(row, row + D, out_BD.mutable_data_ptr<float>() + n * D);
  }
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(litdraft, m) {
  m.def("draw(Tensor weights, Tensor uniforms) -> Tensor");
  m.def("uniforms(int seed, Tensor row, Tensor round, int count) -> Tensor");
  m.def("last_hidden(Tensor hidden, Tensor count, Tensor(a!) out) -> ()");
  m.def("commit(Tensor drafts, Tensor? probs, Tensor? valid, Tensor? vocabulary, Tensor answers, "
        "Tensor uniforms, Tensor(a!) tokens, Tensor(b!) length, Tensor(c!) known, Tensor(d!) done, "
        "Tensor(e!) round, Tensor limit, Tensor ends) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(litdraft, CPU, m) {
  m.impl("draw", &draw);
  m.impl("uniforms", &uniforms);
  m.impl("last_hidden", &last_hidden);
  m.impl("commit", &commit);
}
