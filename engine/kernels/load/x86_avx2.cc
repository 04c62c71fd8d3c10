// SPDX-License-Identifier: Apache-2.0
// Loads on AVX2: 8 channels at a time. Comparing a byte, repeated in every lane, with one bit per lane makes it a mask.
#ifndef __AVX2__
#error "compile this file with the AVX2 flags of CMakeLists.txt"
#endif

#include <immintrin.h>

#include "kernels/conv/conv.h"
#include "kernels/load/load.h"

namespace bitlens {

// v = lo + step * code = lo + sum over planes of (bit ? step << j : 0)
void load_planes_avx2(const LoadTile& tile) {
  if (tile.channel % 8 != 0) return load_planes(tile);
  const Tensor& t = *tile.tensor;
  const __m256i lo = _mm256_set1_epi32(t.lo);
  const __m256i lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + tile.channel / 8;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; n += 8) {
      __m256i values = lo;
      for (int32_t j = 0; j < t.planes; ++j) {
        const __m256i bits =
            _mm256_set1_epi32(pixel[static_cast<size_t>(j) * t.plane_stride + static_cast<size_t>(n / 8)]);
        const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(bits, lane_bit), lane_bit);
        values = _mm256_add_epi32(values, _mm256_and_si256(set, _mm256_set1_epi32(t.step << j)));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + n), values);
    }
  }
}

void load_bytes_avx2(const LoadTile& tile) {
  const Tensor& t = *tile.tensor;
  const __m256i base = _mm256_set1_epi32(t.base());
  for (int32_t p = 0; p < tile.pixels; ++p) {
    const uint8_t* pixel = t.data + static_cast<size_t>(tile.first + p) * t.pixel_stride + tile.channel;
    int32_t* sums = tile.sums + int64_t{p} * kBlock;
    for (int32_t n = 0; n < tile.channels; n += 8) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pixel + n));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + n), _mm256_add_epi32(_mm256_cvtepu8_epi32(bytes), base));
    }
  }
}

}  // namespace bitlens
