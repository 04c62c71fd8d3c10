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

// The number of planes is a constant, so that codes stay in registers.
template <int kPlanes>
void larger_codes(uint64_t* best, const uint64_t* other) {
  uint64_t greater = 0, equal = ~uint64_t{0};
  for (int p = kPlanes - 1; p >= 0; --p) {
    greater |= equal & other[p] & ~best[p];
    equal &= ~(other[p] ^ best[p]);
  }
  for (int p = 0; p < kPlanes; ++p) best[p] ^= (best[p] ^ other[p]) & greater;
}

// 64 channels (fewer at the end) of one output pixel; a constant `count` of 8 makes plain loads and stores of the
// copies.
template <int kPlanes>
inline __attribute__((always_inline)) void pool_word(const PoolStrip& strip, int64_t pixel, size_t byte, size_t count) {
  const Tensor &in = *strip.in, &out = *strip.out;
  uint64_t best[kPlanes] = {0};  // code 0 is the smallest
  for_taps(strip, pixel, [&](int64_t tap, bool) {
    uint64_t codes[kPlanes] = {0};
    const uint8_t* from = in.data + static_cast<size_t>(tap) * in.pixel_stride + byte;
    for (size_t p = 0; p < kPlanes; ++p) std::memcpy(&codes[p], from + p * in.plane_stride, count);
    larger_codes<kPlanes>(best, codes);
  });
  uint8_t* to = out.data + static_cast<size_t>(pixel) * out.pixel_stride + byte;
  for (size_t p = 0; p < kPlanes; ++p) std::memcpy(to + p * out.plane_stride, &best[p], count);
}

template <int kPlanes>
void pool_strip(const PoolStrip& strip) {
  if (strip.in->planes != kPlanes) {
    if constexpr (kPlanes > 1) pool_strip<kPlanes - 1>(strip);
    return;
  }
  const size_t bytes = strip.in->pixel_stride;
  for (int64_t pixel = strip.first; pixel < strip.first + strip.pixels; ++pixel) {
    size_t byte = 0;
    for (; byte + 8 <= bytes; byte += 8) pool_word<kPlanes>(strip, pixel, byte, 8);
    if (byte < bytes) pool_word<kPlanes>(strip, pixel, byte, bytes - byte);
  }
}

}  // namespace

void max_pool_planes(const PoolStrip& strip) { pool_strip<kMostPlanes>(strip); }

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
