// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv/gather.h"

#include <cstring>

namespace bitlens {
namespace {

// Copies `count` taps that lie one after the other in the input.
void copy_run(const Gather& g, const uint8_t* from, int32_t count, uint8_t* to) {
  if (g.tap_stride == g.tap_bytes && g.pixel_stride == g.tap_bytes) {
    std::memcpy(to, from, g.tap_bytes * static_cast<size_t>(count));
    return;
  }
  for (int32_t tap = 0; tap < count; ++tap, to += g.tap_stride, from += g.pixel_stride) {
    std::memcpy(to, from, g.tap_bytes);
  }
}

// One kernel row of one plane at input row y (outside the image when y is out of range), first tap at column x.
void gather_row(const Gather& g, const uint8_t* plane, const uint8_t* pad, int64_t y, int64_t x, uint8_t* to) {
  const Window& w = g.window;
  const bool inside = y >= 0 && y < g.height;
  if (inside && w.dilation_w == 1 && x >= 0 && x + w.kernel_w <= g.width) {
    copy_run(g, plane + static_cast<size_t>(y * g.width + x) * g.pixel_stride, w.kernel_w, to);
    return;
  }
  for (int32_t tap = 0; tap < w.kernel_w; ++tap, x += w.dilation_w, to += g.tap_stride) {
    const bool real = inside && x >= 0 && x < g.width;
    std::memcpy(to, real ? plane + static_cast<size_t>(y * g.width + x) * g.pixel_stride : pad, g.tap_bytes);
  }
}

}  // namespace

void gather(const Gather& g, int64_t first, int32_t pixels, uint8_t* patches) {
  const Window& w = g.window;
  const size_t row_bytes = g.tap_stride * static_cast<size_t>(w.kernel_w);
  const size_t used = row_bytes * static_cast<size_t>(w.kernel_h);
  for (int32_t p = 0; p < pixels; ++p) {
    const int64_t y = (first + p) / g.out_width * w.stride_h - w.pad_top;
    const int64_t x = (first + p) % g.out_width * w.stride_w - w.pad_left;
    for (int32_t j = 0; j < g.planes; ++j) {
      const uint8_t* plane = g.input + static_cast<size_t>(j) * g.plane_stride;
      const uint8_t* pad = g.pad + static_cast<size_t>(j) * g.tap_bytes;
      uint8_t* to = patches + static_cast<size_t>(p) * g.patch_stride + static_cast<size_t>(j) * g.patch_plane_stride;
      std::memset(to + used, 0, g.patch_plane_stride - used);
      for (int32_t row = 0; row < w.kernel_h; ++row, to += row_bytes) {
        gather_row(g, plane, pad, y + int64_t{row} * w.dilation_h, x, to);
      }
    }
  }
}

}  // namespace bitlens
