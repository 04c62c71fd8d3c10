// SPDX-License-Identifier: Apache-2.0
// Upsampling by repetition or zero insertion, padding and cropping: pixels move, their codes stay.
//
//   y = out_y - pad_top, x = out_x - pad_left                        (pads may be negative: they cut)
//   out[out_y][out_x] = in[y / factor_h][x / factor_w]               inside the enlarged image, repeating
//                     = in[y / factor_h][x / factor_w]               where both divide, else 0, inserting zeros
//                     = 0                                            outside
#ifndef BITLENS_KERNELS_UPSAMPLE_UPSAMPLE_H_
#define BITLENS_KERNELS_UPSAMPLE_UPSAMPLE_H_

#include <cstdint>

#include "kernels/tensor.h"

namespace bitlens {

struct Upsampling {
  int32_t factor_h = 1, factor_w = 1, repeat = 0;
  int32_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;

  // Whether integers 0 stand beside what is moved.
  bool fills() const {
    return pad_top > 0 || pad_left > 0 || pad_bottom > 0 || pad_right > 0 ||
           (repeat == 0 && (factor_h > 1 || factor_w > 1));
  }
};

// The input pixel that output pixel `pixel` is a copy of, -1 where it is 0.
int64_t upsample_source(const Upsampling& u, const Tensor& in, const Tensor& out, int64_t pixel);

// Output pixels first .. first + pixels - 1. Both tensors have one storage, and planes one grid, which holds 0 where
// the upsampling fills.
void upsample_copy(const Upsampling& u, const Tensor& in, const Tensor& out, int64_t first, int32_t pixels);

}  // namespace bitlens

#endif  // BITLENS_KERNELS_UPSAMPLE_UPSAMPLE_H_
