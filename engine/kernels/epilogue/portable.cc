// SPDX-License-Identifier: Apache-2.0
// The reference of every epilogue: plain C++, any processor.
#include <algorithm>
#include <cstring>

#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"

namespace bitlens {
namespace {

const int32_t* row_of(const EpilogueTile& tile, int32_t pixel) { return tile.sums + int64_t{pixel} * kBlock; }

uint8_t* out_of(const EpilogueTile& tile, int32_t pixel) { return tile.out + pixel * tile.pixel_stride; }

void store_plane(const EpilogueTile& tile, int32_t pixel, int32_t plane, uint64_t bits) {
  uint8_t* out = out_of(tile, pixel) + plane * tile.plane_stride;
  for (int32_t byte = 0; 8 * byte < tile.channels; ++byte) out[byte] = static_cast<uint8_t>(bits >> (8 * byte));
}

// Calls store(pixel, channel, value) with the value that bisection finds.
template <typename Store>
void search(const EpilogueTile& tile, Store store) {
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const int32_t* values = limits + int64_t{kBlock} * tile.levels;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    for (int32_t n = 0; n < tile.channels; ++n) {
      const int32_t* row = limits + int64_t{n} * tile.levels;
      const auto passed = std::lower_bound(row, row + tile.levels, sums[n]) - row;  // limits < sums
      store(pixel, n, values[int64_t{n} * (tile.levels + 1) + passed]);
    }
  }
}

template <typename Store>
void rescale(const EpilogueTile& tile, Store store) {
  const auto* multiplier = static_cast<const int32_t*>(tile.table);
  const auto* addend = reinterpret_cast<const int64_t*>(multiplier + kBlock);
  const int64_t* shift = addend + kBlock;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    for (int32_t n = 0; n < tile.channels; ++n) {
      const uint64_t product = static_cast<uint64_t>(int64_t{multiplier[n]} * sums[n]);
      const int64_t moved = static_cast<int64_t>(product + static_cast<uint64_t>(addend[n])) >> shift[n];
      store(pixel, n, static_cast<int32_t>(std::clamp<int64_t>(moved, tile.lo, tile.hi)));
    }
  }
}

template <typename Store>
void plain(const EpilogueTile& tile, Store store) {
  const auto* offset = static_cast<const int32_t*>(tile.table);
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    for (int32_t n = 0; n < tile.channels; ++n) {
      store(pixel, n, static_cast<int32_t>(int64_t{tile.scale} * sums[n] + offset[n]));
    }
  }
}

auto byte_store(const EpilogueTile& tile, int32_t base) {
  return [&tile, base](int32_t pixel, int32_t n, int32_t value) {
    out_of(tile, pixel)[n] = static_cast<uint8_t>(value - base);
  };
}

auto word_store(const EpilogueTile& tile) {
  return [&tile](int32_t pixel, int32_t n, int32_t value) {
    std::memcpy(out_of(tile, pixel) + 4 * int64_t{n}, &value, sizeof value);
  };
}

}  // namespace

void epilogue_steps_planes(const EpilogueTile& tile) {
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const auto* first = reinterpret_cast<const uint64_t*>(limits + int64_t{kBlock} * tile.levels);
  const uint64_t* toggles = first + tile.planes;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    uint64_t planes[32];
    std::copy(first, first + tile.planes, planes);
    for (int32_t level = 0; level < tile.levels; ++level) {
      uint64_t passed = 0;
      for (int32_t n = 0; n < tile.channels; ++n) {
        passed |= uint64_t{sums[n] > limits[int64_t{kBlock} * level + n]} << n;
      }
      for (int32_t p = 0; p < tile.planes; ++p) planes[p] ^= passed & toggles[level * tile.planes + p];
    }
    for (int32_t p = 0; p < tile.planes; ++p) store_plane(tile, pixel, p, planes[p]);
  }
}

void epilogue_steps_bytes(const EpilogueTile& tile) {
  const auto* first = static_cast<const int32_t*>(tile.table);
  const int32_t* limits = first + kBlock;
  const int32_t* deltas = limits + int64_t{kBlock} * tile.levels;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    int32_t values[kBlock];
    std::copy(first, first + kBlock, values);
    for (int32_t level = 0; level < tile.levels; ++level) {
      for (int32_t n = 0; n < tile.channels; ++n) {
        if (sums[n] > limits[kBlock * level + n]) values[n] += deltas[kBlock * level + n];
      }
    }
    for (int32_t n = 0; n < tile.channels; ++n) out_of(tile, pixel)[n] = static_cast<uint8_t>(values[n]);
  }
}

void epilogue_search_bytes(const EpilogueTile& tile) { search(tile, byte_store(tile, 0)); }

void epilogue_search_words(const EpilogueTile& tile) { search(tile, word_store(tile)); }

void epilogue_rescale_bytes(const EpilogueTile& tile) { rescale(tile, byte_store(tile, tile.base)); }

void epilogue_rescale_words(const EpilogueTile& tile) { rescale(tile, word_store(tile)); }

void epilogue_store_planes(const EpilogueTile& tile) {
  const auto* offset = static_cast<const int32_t*>(tile.table);
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const int32_t* sums = row_of(tile, pixel);
    for (int32_t p = 0; p < tile.planes; ++p) {
      uint64_t bits = 0;
      for (int32_t n = 0; n < tile.channels; ++n) {
        const auto value = static_cast<int32_t>(int64_t{tile.scale} * sums[n] + offset[n]);
        const int64_t code = (int64_t{value} - tile.lo) / tile.step;
        bits |= static_cast<uint64_t>(code >> p & 1) << n;
      }
      store_plane(tile, pixel, p, bits);
    }
  }
}

void epilogue_store_bytes(const EpilogueTile& tile) { plain(tile, byte_store(tile, tile.base)); }

void epilogue_store_words(const EpilogueTile& tile) { plain(tile, word_store(tile)); }

}  // namespace bitlens
