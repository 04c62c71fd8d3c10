// SPDX-License-Identifier: Apache-2.0
// Loads on AVX-512: 16 channels at a time. A mask register holds the 16 bits of one plane, so a code is built by one
// masked addition per plane.
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || !defined(__AVX512DQ__)
#error "compile this file with the AVX-512 flags of CMakeLists.txt"
#endif

#include <immintrin.h>

#include "kernels/conv/conv.h"
#include "kernels/load/load.h"

namespace bitlens {

// v = lo + step * code = lo + sum over planes of (bit ? step << j : 0)
void load_planes_avx512(const LoadTile& tile) {
  if (tile.channel % 8 != 0) return load_planes(tile);
  const Tensor& t = *tile.tensor;
  const __m512i lo = _mm512_set1_epi32(t.lo);
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + tile.channel / 8;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; n += 16) {
      __m512i values = lo;
      for (int32_t j = 0; j < t.planes; ++j) {
        uint16_t bits;  // one plane of 16 channels, on any byte
        __builtin_memcpy(&bits, pixel + static_cast<size_t>(j) * t.plane_stride + n / 8, sizeof bits);
        values = _mm512_mask_add_epi32(values, bits, values, _mm512_set1_epi32(t.step << j));
      }
      _mm512_storeu_si512(sums + n, values);
    }
  }
}

void load_bytes_avx512(const LoadTile& tile) {
  const Tensor& t = *tile.tensor;
  const __m512i base = _mm512_set1_epi32(t.base());
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + tile.channel;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; n += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel + n));
      _mm512_storeu_si512(sums + n, _mm512_add_epi32(_mm512_cvtepu8_epi32(bytes), base));
    }
  }
}

}  // namespace bitlens
