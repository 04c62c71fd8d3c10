// SPDX-License-Identifier: Apache-2.0
// kernels.inc as a table.
#include "base/cpu.h"
#include "kernels/accumulate/accumulate.h"

namespace bitlens {

const AccumulateKernel kAccumulateKernels[] = {
#define BITLENS_ACCUMULATE(name, features) {#name, static_cast<uint32_t>(features), name},
#include "kernels/accumulate/kernels.inc"
#undef BITLENS_ACCUMULATE
};

const int kAccumulateKernelCount = sizeof kAccumulateKernels / sizeof kAccumulateKernels[0];

}  // namespace bitlens
