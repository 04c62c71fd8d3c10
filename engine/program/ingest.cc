// SPDX-License-Identifier: Apache-2.0
#include "program/ingest.h"

#include <algorithm>
#include <cstring>

#include "kernels/conv/conv.h"

namespace bitlens {
namespace {

bool is_on_grid(const Tensor& t, int32_t value) {
  return value >= t.lo && value <= t.hi && (t.step == 1 || ((value ^ t.lo) & 1) == 0);
}

// One row of pixels of any element type, in runs of at most kBlock channels, through the store epilogues.
template <typename Element>
bool ingest_row(const Element* row, int64_t pixel_stride, int64_t first, const Tensor& t, int32_t* stray) {
  alignas(64) int32_t values[kBlock];
  const int32_t offset[kBlock] = {0};
  EpilogueTile tile{};
  tile.sums = values;
  tile.table = offset;
  tile.plane_stride = t.plane_stride;
  tile.pixels = 1;
  tile.planes = t.planes;
  tile.scale = 1;
  tile.lo = t.lo;
  tile.hi = t.hi;
  tile.step = t.step;
  tile.base = t.base();
  for (int64_t x = 0; x < t.width; ++x) {
    uint8_t* pixel = t.data + static_cast<size_t>(first + x) * t.pixel_stride;
    for (int32_t channel = 0; channel < t.channels; channel += kBlock) {
      tile.channels = std::min(kBlock, t.channels - channel);
      for (int32_t n = 0; n < tile.channels; ++n) {
        values[n] = row[x * pixel_stride + channel + n];
        if (!is_on_grid(t, values[n])) {
          *stray = values[n];
          return false;
        }
      }
      const auto at = static_cast<size_t>(channel);
      tile.out = pixel + (t.storage == Storage::kPlanes ? at / 8 : t.storage == Storage::kBytes ? at : 4 * at);
      t.storage == Storage::kPlanes  ? epilogue_store_planes(tile)
      : t.storage == Storage::kBytes ? epilogue_store_bytes(tile)
                                     : epilogue_store_words(tile);
    }
  }
  return true;
}

// Bytes that are already what the tensor holds: an unsigned grid from 0 in steps of 1.
bool copy_row(const uint8_t* row, int64_t pixel_stride, int64_t first, const Tensor& t, int32_t* stray) {
  uint8_t* out = t.data + static_cast<size_t>(first) * t.pixel_stride;
  const auto channels = static_cast<size_t>(t.channels);
  if (pixel_stride == t.channels) {
    std::memcpy(out, row, channels * static_cast<size_t>(t.width));
  } else {
    for (int64_t x = 0; x < t.width; ++x)
      std::memcpy(out + static_cast<size_t>(x) * channels, row + x * pixel_stride, channels);
  }
  if (t.hi == 255) return true;
  const uint8_t largest =
      t.width == 0 ? uint8_t{0} : *std::max_element(out, out + channels * static_cast<size_t>(t.width));
  *stray = largest;
  return largest <= t.hi;
}

}  // namespace

bool ingest(const bitlens_view& view, size_t image, const Tensor& t, int32_t* stray) {
  const bool same = view.type == BITLENS_U8 && t.storage == Storage::kBytes && t.lo == 0 && t.step == 1;
  for (int64_t y = 0; y < t.height; ++y) {
    const int64_t at = static_cast<int64_t>(image) * view.image_stride + y * view.row_stride;
    const int64_t first = y * t.width;
    bool good;
    if (view.type == BITLENS_I32) {
      good = ingest_row(static_cast<const int32_t*>(view.data) + at, view.pixel_stride, first, t, stray);
    } else {
      const uint8_t* row = static_cast<const uint8_t*>(view.data) + at;
      good = same ? copy_row(row, view.pixel_stride, first, t, stray)
                  : ingest_row(row, view.pixel_stride, first, t, stray);
    }
    if (!good) return false;
  }
  return true;
}

}  // namespace bitlens
