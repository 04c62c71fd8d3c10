// SPDX-License-Identifier: Apache-2.0
// The sliding window of convolution and pooling, as in the file.
#ifndef BITLENS_KERNELS_WINDOW_H_
#define BITLENS_KERNELS_WINDOW_H_

#include <cstdint>

namespace bitlens {

struct Window {
  int32_t kernel_h, kernel_w, stride_h, stride_w;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
  int32_t dilation_h, dilation_w;
};

}  // namespace bitlens

#endif  // BITLENS_KERNELS_WINDOW_H_
