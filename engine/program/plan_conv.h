// SPDX-License-Identifier: Apache-2.0
// Which kernel a convolution gets, and its weights in that kernel's order.
#ifndef BITLENS_PROGRAM_PLAN_CONV_H_
#define BITLENS_PROGRAM_PLAN_CONV_H_

#include <vector>

#include "kernels/conv/conv.h"
#include "program/blob.h"
#include "program/plan.h"
#include "program/program.h"

namespace bitlens {

// How real sums follow from a kernel's sums:  sum = scale * kernel sum + offset[output channel].
struct Fold {
  int32_t scale = 1;
  std::vector<int64_t> offset;  // one per channel
};

struct ConvChoice {
  const ConvKernel* kernel;
  Storage storage;  // of the operand
  int32_t weight_scale, weight_shift;
};

// Walks kernels.inc: the first row whose features are there, whose family can hold this op exactly, and whose condition
// holds.
ConvChoice choose_conv(const Op& op, const Shape& in, const Grid& grid, uint32_t features);

// Packs the weights and fills everything of `conv` but the kernel's name. `input` is the operand as it lies in memory.
Fold plan_conv(const Op& op, const ConvChoice& choice, const PlanTensor& input, const Shape& out, Blob* blob,
               PlanConv* conv);

// What a kernel of the bit families and of the byte family can hold.
bool fits_planes(const Grid& grid);
bool fits_bytes(const Grid& grid);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PLAN_CONV_H_
