// The cells of an LSTM, computed from the product of its gates.
//
// A layer's gates are packed so that a group of four blocks holds the input, forget, output and cell
// gates of the same 16 units: the cell is updated as soon as its products are computed.

#pragma once

#include "blocks.h"

namespace {

// Ends a product of `multiply_all` in units of 4: bias(row, gate, unit) is added to each gate,
// memory(row, unit) is the old cell state, and done(row, unit, cell, hidden) takes the new states.
template <class Bias, class Memory, class Done>
auto cells(Bias bias, Memory memory, Done done) {
  return [=](int64_t row, int64_t some, int64_t at, const float* sums, int64_t) {
    for (int64_t r = 0; r < some; ++r)
      for (int64_t c = 0; c < OUT; ++c) {
        const int64_t u = at / 4 + c, n = row + r;
        float g[4];
        for (int64_t which = 0; which < 4; ++which)
          g[which] = sums[which * 256 + r * 16 + c] + bias(n, which, u);
        const float kept = sigmoid(g[1]) * memory(n, u) + sigmoid(g[0]) * std::tanh(g[3]);
        done(n, u, kept, sigmoid(g[2]) * std::tanh(kept));
      }
  };
}

// Copies a layer's output to its own next input (at `offset`) and to the input of the layer above.
template <class W, class Output>
void publish(Output output, int64_t rows, int64_t width, int rank, int threads, Rows<W>& own,
             int64_t offset, Rows<W>& above) {
  const Share groups = share(width / OUT, rank, threads);  // those of this thread's products
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t u = groups.first * OUT; u < groups.last * OUT; ++u) {
      put(own.row(n) + offset + u, output(n, u));
      above.row(n)[u] = own.row(n)[offset + u];
    }
}

}  // namespace
