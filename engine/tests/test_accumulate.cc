// SPDX-License-Identifier: Apache-2.0
// Every row of accumulate/kernels.inc gives the portable row's bits, up to the largest sums.
#include <cstring>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/accumulate/accumulate.h"
#include "tests/check.h"

namespace bitlens {
namespace {

void check_row(const AccumulateKernel& kernel, size_t count, float scale, Random* random) {
  AlignedBytes memory(4 * count), total(8 * count, 0), expected(8 * count, 0);
  auto* sums = reinterpret_cast<int32_t*>(memory.data());
  for (int round = 0; round < 3; ++round) {
    for (size_t k = 0; k < count; ++k) sums[k] = static_cast<int32_t>(random->between(1 - (1 << 28), (1 << 28) - 1));
    kernel.run(sums, count, scale, reinterpret_cast<double*>(total.data()));
    accumulate(sums, count, scale, reinterpret_cast<double*>(expected.data()));
  }
  CHECK(total == expected, "%s: %zu sums by %g", kernel.name, count, double{scale});
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  Random random(13);
  for (int row = 0; row < kAccumulateKernelCount; ++row) {
    const AccumulateKernel& kernel = kAccumulateKernels[row];
    if ((kernel.features & ~cpu_features()) != 0) continue;
    for (const size_t count : {16, 32, 64, 1792})
      for (const float scale : {0.1F, 1.F, -3e-7F, 16777215.F, 1e-30F}) check_row(kernel, count, scale, &random);
  }
  CHECK(kAccumulateKernels[kAccumulateKernelCount - 1].features == 0, "the last row runs anywhere");
  return failures == 0 ? 0 : 1;
}
