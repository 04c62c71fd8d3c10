// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/pool/pool.h"

namespace bitlens {
namespace {

constexpr int32_t kMostPlanes = 8;

// Calls visit(input pixel, whether it is the first) for every tap of output pixel `pixel` that lies inside the image.
template <typename Visit>
void for_taps(const PoolStrip& strip, int64_t pixel, Visit visit) {
  const Window& w = *strip.window;
  const int64_t y = pixel / strip.out->width * w.stride_h - w.pad_top;
  const int64_t x = pixel % strip.out->width * w.stride_w - w.pad_left;
  bool first = true;
  for (int64_t row = 0; row < w.kernel_h; ++row) {
    const int64_t in_y = y + row * w.dilation_h;
    if (in_y < 0 || in_y >= strip.in->height) continue;
    for (int64_t column = 0; column < w.kernel_w; ++column) {
      const int64_t in_x = x + column * w.dilation_w;
      if (in_x < 0 || in_x >= strip.in->width) continue;
      visit(in_y * strip.in->width + in_x, first);
      first = false;
    }
  }
}

void larger_codes(uint64_t* best, const uint64_t* other, int32_t planes) {
  uint64_t greater = 0, equal = ~uint64_t{0};
  for (int32_t p = planes - 1; p >= 0; --p) {
    greater |= equal & other[p] & ~best[p];
    equal &= ~(other[p] ^ best[p]);
  }
  for (int32_t p = 0; p < planes; ++p) best[p] ^= (best[p] ^ other[p]) & greater;
}

}  // namespace

void max_pool_planes(const PoolStrip& strip) {
  const Tensor &in = *strip.in, &out = *strip.out;
  for (int64_t pixel = strip.first; pixel < strip.first + strip.pixels; ++pixel) {
    for (size_t byte = 0; byte < in.pixel_stride; byte += 8) {
      const size_t count = std::min<size_t>(8, in.pixel_stride - byte);
      uint64_t best[kMostPlanes] = {0};
      for_taps(strip, pixel, [&](int64_t tap, bool first) {
        uint64_t codes[kMostPlanes] = {0};
        for (int32_t p = 0; p < in.planes; ++p) {
          const size_t plane = static_cast<size_t>(p) * in.plane_stride;
          std::memcpy(&codes[p], in.data + plane + static_cast<size_t>(tap) * in.pixel_stride + byte, count);
        }
        if (first) {
          std::copy(codes, codes + in.planes, best);
        } else {
          larger_codes(best, codes, in.planes);
        }
      });
      for (int32_t p = 0; p < out.planes; ++p) {
        const size_t plane = static_cast<size_t>(p) * out.plane_stride;
        std::memcpy(out.data + plane + static_cast<size_t>(pixel) * out.pixel_stride + byte, &best[p], count);
      }
    }
  }
}

void max_pool_bytes(const PoolStrip& strip) {
  const Tensor &in = *strip.in, &out = *strip.out;
  const size_t channels = in.pixel_stride;
  for (int64_t pixel = strip.first; pixel < strip.first + strip.pixels; ++pixel) {
    uint8_t* best = out.data + static_cast<size_t>(pixel) * channels;
    for_taps(strip, pixel, [&](int64_t tap, bool first) {
      const uint8_t* other = in.data + static_cast<size_t>(tap) * channels;
      if (first) {
        std::memcpy(best, other, channels);
        return;
      }
      for (size_t n = 0; n < channels; ++n) best[n] = std::max(best[n], other[n]);
    });
  }
}

}  // namespace bitlens
