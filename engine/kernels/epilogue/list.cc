// SPDX-License-Identifier: Apache-2.0
// kernels.inc as a table.
#include "base/cpu.h"
#include "kernels/epilogue/epilogue.h"

namespace bitlens {

const EpilogueKernel kEpilogueKernels[] = {
#define BITLENS_EPILOGUE(name, kind, features) {#name, EpilogueKind::kind, static_cast<uint32_t>(features), name},
#include "kernels/epilogue/kernels.inc"
#undef BITLENS_EPILOGUE
};

const int kEpilogueKernelCount = sizeof kEpilogueKernels / sizeof kEpilogueKernels[0];

}  // namespace bitlens
