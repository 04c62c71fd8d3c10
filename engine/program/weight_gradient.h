// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's weights from codes: for every tap, channel and output the sum over all positions of
// activation times gradient, on the byte kernels of kernels/conv.
//
//   sums[n][tap][c][o] = sum over y, x of a[n][y * stride_h + tap_h - pad_h][x * stride_w + tap_w - pad_w][c] *
//   g[n][y][x][o]
//
// 1. Positions are what is summed over, so they must lie side by side: each channel of an image becomes a plane of
// bytes,
//    one for every phase of the stride, and the gradients become a panel of 4 positions by 16 outputs.
// 2. No patch is gathered. A plane has a row every `pitch` bytes and the panel's positions have the same pitch, with
// zeros
//    where a row of gradients has ended; so a tap reads the same plane, some bytes further on. What it reads beyond the
//    row's end meets these zeros, and the padding right of a row is that left of the next.
#ifndef BITLENS_PROGRAM_WEIGHT_GRADIENT_H_
#define BITLENS_PROGRAM_WEIGHT_GRADIENT_H_

#include "bitlens.h"

namespace bitlens {

// One of `sums` and `total` is NULL; `total` takes `scales`. Throws Error (kArgument) where sizes do not fit or sums
// might pass 28 bits.
void weight_gradient(const bitlens_weight_gradient& gradient, uint32_t features, int threads, int32_t* sums,
                     const float* scales, float* total);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_WEIGHT_GRADIENT_H_
