// Drawing a token, as all native operations do it.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

// By inversion of the cumulative weights; never a token of weight zero.
inline int64_t draw_token(const float* weights, int64_t n, double uniform, std::vector<double>& mass) {
  mass.resize(n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) mass[i] = sum += weights[i];
  const int64_t token = std::upper_bound(mass.begin(), mass.end(), uniform * sum) - mass.begin();
  const int64_t last = std::lower_bound(mass.begin(), mass.end(), sum) - mass.begin();
  return std::min(token, last);
}

}  // namespace
