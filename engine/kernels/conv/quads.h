// SPDX-License-Identifier: Apache-2.0
// Bytes turned the other way before they meet in the byte kernels: what lies one after the other there (the terms of a
// sum) lies a row apart in codes that are channels last.
#ifndef BITLENS_KERNELS_CONV_QUADS_H_
#define BITLENS_KERNELS_CONV_QUADS_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

// The int8 that stands for a code in a kBytes panel: 2c - n with n = 2^bits - 1, but c - 128 of 8 bits (there the
// integer is 2q + 1).
struct OddBytes {
  explicit OddBytes(int32_t bits)
      : twice(bits == 8 ? 0 : 255), offset(static_cast<uint8_t>(bits == 8 ? 128 : (1 << bits) - 1)) {}
  uint8_t twice;  // the bits of c that are added once more
  uint8_t offset;
};

// Writes one unit of depth of a panel, int8 [groups][16][4] with `group_stride` bytes from group to group: lane n holds
// term t of row rows[t][n]. A row that is NULL holds zeros, and so do lanes past `lanes`.
void pack_quads(const uint8_t* const rows[4], OddBytes odd, size_t lanes, uint8_t* panel, size_t group_stride);

// planes[c * plane_stride + i] = pixels[i * pixel_stride + c] for c < channels, i < count.
void transpose_bytes(const uint8_t* pixels, size_t pixel_stride, size_t count, size_t channels, uint8_t* planes,
                     size_t plane_stride);

}  // namespace bitlens

#endif  // BITLENS_KERNELS_CONV_QUADS_H_
