// SPDX-License-Identifier: Apache-2.0
// From a caller's integers to a tensor of the plan.
#ifndef BITLENS_PROGRAM_INGEST_H_
#define BITLENS_PROGRAM_INGEST_H_

#include "bitlens.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/tensor.h"

namespace bitlens {

// Checks that every integer of image `image` is on the tensor's grid and writes it in the tensor's storage. Returns
// false and sets *stray to the first integer that is not on the grid.
bool ingest(const bitlens_view& view, size_t image, const Tensor& tensor, int32_t* stray);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_INGEST_H_
