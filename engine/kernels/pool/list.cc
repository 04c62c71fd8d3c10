// SPDX-License-Identifier: Apache-2.0
// kernels.inc as a table.
#include "base/cpu.h"
#include "kernels/pool/pool.h"

namespace bitlens {

const PoolKernel kPoolKernels[] = {
#define BITLENS_POOL(name, storage, features) {#name, Storage::storage, static_cast<uint32_t>(features), name},
#include "kernels/pool/kernels.inc"
#undef BITLENS_POOL
};

const int kPoolKernelCount = sizeof kPoolKernels / sizeof kPoolKernels[0];

}  // namespace bitlens
