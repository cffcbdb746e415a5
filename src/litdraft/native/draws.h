// Drawing a token, for all native acts alike.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

// By inversion of the cumulated weights; never a token of weight zero.
inline int64_t drawn(const float* weights, int64_t n, double uniform, std::vector<double>& mass) {
  mass.resize(n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) mass[i] = sum += weights[i];
  const int64_t place = std::upper_bound(mass.begin(), mass.end(), uniform * sum) - mass.begin();
  const int64_t last = std::lower_bound(mass.begin(), mass.end(), sum) - mass.begin();
  return std::min(place, last);
}

}  // namespace
