// SPDX-License-Identifier: Apache-2.0
// Copies the patches of a strip of output pixels into scratch memory, taps densely one after the other; or, for
// depthwise kernels, which read every byte once only, notes where the taps lie.
//
// A patch holds, per plane, kernel_h x kernel_w taps of `tap_bytes` bytes, then zeros up to the patch's plane stride.
// Taps outside the image hold `pad`: the bytes that the integer 0 has in this storage. Because taps are packed by the
// byte, a 3x3 patch of 16 one-bit channels is 18 bytes, not 72.
#ifndef BITLENS_KERNELS_CONV_GATHER_H_
#define BITLENS_KERNELS_CONV_GATHER_H_

#include <cstddef>
#include <cstdint>

#include "kernels/window.h"

namespace bitlens {

struct Gather {
  const uint8_t* input;  // first byte of the channel slice of pixel 0
  size_t pixel_stride, plane_stride;
  int32_t height, width, planes;
  int32_t out_width;
  Window window;
  size_t tap_bytes;           // copied per tap and plane
  const uint8_t* pad;         // [planes][tap_bytes]
  size_t patch_stride;        // bytes from patch to patch
  size_t patch_plane_stride;  // bytes from plane to plane of one patch
};

// Fills the patches of output pixels first .. first + pixels - 1, counted row after row.
void gather(const Gather& g, int64_t first, int32_t pixels, uint8_t* patches);

// Fills each patch with kernel_h * kernel_w pointers instead, to the pixel of every tap, to `pad` outside the image;
// planes and tap_bytes are of no use.
void gather_taps(const Gather& g, int64_t first, int32_t pixels, uint8_t* patches);

}  // namespace bitlens

#endif  // BITLENS_KERNELS_CONV_GATHER_H_
