// SPDX-License-Identifier: Apache-2.0
// Accumulation in C++ alone.
#include "kernels/accumulate/accumulate.h"

namespace bitlens {

void accumulate(const int32_t* sums, size_t count, float scale, double* total) {
  const double factor = scale;
  for (size_t k = 0; k < count; ++k) total[k] += factor * sums[k];
}

}  // namespace bitlens
