// SPDX-License-Identifier: Apache-2.0
// kernels.inc as a table.
#include "base/cpu.h"
#include "kernels/load/load.h"

namespace bitlens {

const LoadKernel kLoadKernels[] = {
#define BITLENS_LOAD(name, storage, features) {#name, Storage::storage, static_cast<uint32_t>(features), name},
#include "kernels/load/kernels.inc"
#undef BITLENS_LOAD
};

const int kLoadKernelCount = sizeof kLoadKernels / sizeof kLoadKernels[0];

}  // namespace bitlens
