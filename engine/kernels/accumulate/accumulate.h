// SPDX-License-Identifier: Apache-2.0
// Integer sums of many samples, each with a scale of its own, added up:
//
//   total[k] = total[k] + scale * sums[k],   k < count, a multiple of 16
//
// in double. A scale that is a float (24 bits) times a sum below 2^28 is exact there, so there is one rounding, that of
// the addition, and every row of the list gives the same bits, with and without fused operations.
#ifndef BITLENS_KERNELS_ACCUMULATE_ACCUMULATE_H_
#define BITLENS_KERNELS_ACCUMULATE_ACCUMULATE_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

// Both arrays are 64-byte aligned.
using AccumulateFunction = void (*)(const int32_t* sums, size_t count, float scale, double* total);

struct AccumulateKernel {
  const char* name;
  uint32_t features;  // all of these Feature bits must be present
  AccumulateFunction run;
};

// The rows of kernels.inc, best first, portable last.
extern const AccumulateKernel kAccumulateKernels[];
extern const int kAccumulateKernelCount;

// Declares one function per row.
#define BITLENS_ACCUMULATE(name, features) void name(const int32_t* sums, size_t count, float scale, double* total);
#include "kernels/accumulate/kernels.inc"
#undef BITLENS_ACCUMULATE

}  // namespace bitlens

#endif  // BITLENS_KERNELS_ACCUMULATE_ACCUMULATE_H_
