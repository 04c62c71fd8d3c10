// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv/quads.h"

#include <cstring>
#include <initializer_list>

namespace bitlens {
namespace {

// Swaps the bytes of a that `mask` << shift names with those of b that `mask` names.
inline void swap_bytes(uint64_t* a, uint64_t* b, int shift, uint64_t mask) {
  const uint64_t differ = ((*a >> shift) ^ *b) & mask;
  *b ^= differ;
  *a ^= differ << shift;
}

// Eight rows of eight bytes: blocks of 4, of 2, of 1 trade places across the diagonal. The machine is little-endian, as
// the engine's packing is throughout.
inline void transpose_8x8(uint64_t rows[8]) {
  for (int i = 0; i < 4; ++i) swap_bytes(&rows[i], &rows[i + 4], 32, 0x00000000ffffffff);
  for (int i : {0, 1, 4, 5}) swap_bytes(&rows[i], &rows[i + 2], 16, 0x0000ffff0000ffff);
  for (int i : {0, 2, 4, 6}) swap_bytes(&rows[i], &rows[i + 1], 8, 0x00ff00ff00ff00ff);
}

// to[4 n + t] = the byte of from[t][n]. The copy lets the compiler see that nothing overlaps: four rows become
// registers that unpack instructions interleave.
inline void interleave(const uint8_t* const from[4], uint8_t twice, const uint8_t offsets[4], size_t lanes,
                       uint8_t* to) {
  uint8_t quads[64];
  const uint8_t *a = from[0], *b = from[1], *c = from[2], *d = from[3];
  for (int n = 0; n < 16; ++n) {
    quads[4 * n] = static_cast<uint8_t>(a[n] + (a[n] & twice) - offsets[0]);
    quads[4 * n + 1] = static_cast<uint8_t>(b[n] + (b[n] & twice) - offsets[1]);
    quads[4 * n + 2] = static_cast<uint8_t>(c[n] + (c[n] & twice) - offsets[2]);
    quads[4 * n + 3] = static_cast<uint8_t>(d[n] + (d[n] & twice) - offsets[3]);
  }
  if (lanes == 16) {
    std::memcpy(to, quads, 64);
  } else {
    std::memcpy(to, quads, 4 * lanes);
  }
}

}  // namespace

void pack_quads(const uint8_t* const rows[4], OddBytes odd, size_t lanes, uint8_t* panel, size_t group_stride) {
  static constexpr uint8_t kZeros[16] = {};
  uint8_t offsets[4];
  for (int t = 0; t < 4; ++t) offsets[t] = rows[t] == nullptr ? 0 : odd.offset;
  size_t first = 0;
  for (; first + 16 <= lanes; first += 16, panel += group_stride) {
    const uint8_t* from[4];
    for (int t = 0; t < 4; ++t) from[t] = rows[t] == nullptr ? kZeros : rows[t] + first;
    interleave(from, odd.twice, offsets, 16, panel);
  }
  if (first < lanes) {
    uint8_t rest[4][16] = {};
    const uint8_t* from[4] = {rest[0], rest[1], rest[2], rest[3]};
    for (int t = 0; t < 4; ++t) {
      if (rows[t] != nullptr) std::memcpy(rest[t], rows[t] + first, lanes - first);
    }
    std::memset(panel, 0, 64);
    interleave(from, odd.twice, offsets, lanes - first, panel);
  }
}

void transpose_bytes(const uint8_t* pixels, size_t pixel_stride, size_t count, size_t channels, uint8_t* planes,
                     size_t plane_stride) {
  const size_t whole_pixels = count / 8 * 8, whole_channels = channels / 8 * 8;
  for (size_t i = 0; i < whole_pixels; i += 8) {
    for (size_t c = 0; c < whole_channels; c += 8) {
      uint64_t rows[8];
      for (size_t r = 0; r < 8; ++r) std::memcpy(&rows[r], pixels + (i + r) * pixel_stride + c, 8);
      transpose_8x8(rows);
      for (size_t r = 0; r < 8; ++r) std::memcpy(planes + (c + r) * plane_stride + i, &rows[r], 8);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = i < whole_pixels ? whole_channels : 0; c < channels; ++c) {
      planes[c * plane_stride + i] = pixels[i * pixel_stride + c];
    }
  }
}

}  // namespace bitlens
