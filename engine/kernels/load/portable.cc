// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "kernels/conv/conv.h"
#include "kernels/load/load.h"

namespace bitlens {

void load_planes(const LoadTile& tile) {
  const Tensor& t = *tile.tensor;
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; ++n) {
      const auto channel = static_cast<size_t>(tile.channel + n);
      int32_t code = 0;
      for (int32_t j = 0; j < t.planes; ++j) {
        code |= (pixel[static_cast<size_t>(j) * t.plane_stride + channel / 8] >> (channel % 8) & 1) << j;
      }
      sums[n] = t.lo + t.step * code;
    }
  }
}

void load_bytes(const LoadTile& tile) {
  const Tensor& t = *tile.tensor;
  const int32_t base = t.base();
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + tile.channel;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; ++n) sums[n] = base + pixel[n];
  }
}

void load_words(const LoadTile& tile) {
  const Tensor& t = *tile.tensor;
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + size_t{4} * tile.channel;
    std::memcpy(tile.sums + int64_t{p} * kBlock, pixel, size_t{4} * tile.channels);
  }
}

}  // namespace bitlens
