// SPDX-License-Identifier: Apache-2.0
// Epilogues for AVX2. Eight channels are one register; the sign bits of a compare are one byte of a packed plane.
#if !defined(__AVX2__) || defined(__AVX512F__)
#error "compile this file with the flags of BITLENS_AVX2_FLAGS (CMakeLists.txt)"
#endif

#include <immintrin.h>

#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"

namespace bitlens {
namespace {

const int32_t* row_of(const EpilogueTile& tile, int32_t pixel) { return tile.sums + int64_t{pixel} * kBlock; }

uint8_t* out_of(const EpilogueTile& tile, int32_t pixel) {
  return tile.out + static_cast<size_t>(pixel) * tile.pixel_stride;
}

inline __m256i load(const void* words) { return _mm256_load_si256(static_cast<const __m256i*>(words)); }

// One bit a channel: the sign bits of eight lanes.
inline uint8_t signs_of(__m256i lanes) { return static_cast<uint8_t>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes))); }

// The first `count` (1..8) lanes as bytes, cut to 8 bits.
inline void store_bytes(uint8_t* out, __m256i words, int32_t count) {
  const __m256i low = _mm256_and_si256(words, _mm256_set1_epi32(255));
  const __m128i shorts = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  auto bytes = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(shorts, shorts)));
  if (count >= 8) {
    __builtin_memcpy(out, &bytes, 8);
    return;
  }
  for (int32_t i = 0; i < count; ++i, bytes >>= 8) out[i] = static_cast<uint8_t>(bytes);
}

// The first `count` (1..8) lanes as words.
inline void store_words(uint8_t* out, __m256i words, int32_t count) {
  if (count >= 8) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), words);
    return;
  }
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  _mm256_maskstore_epi32(reinterpret_cast<int32_t*>(out), _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), words);
}

// Calls store(out bytes of the pixel, sums, channel, count) for each pixel and each 8 channels.
template <typename Store>
inline void for_groups(const EpilogueTile& tile, Store store) {
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    for (int32_t n = 0; n < tile.channels; n += 8) {
      const int32_t left = tile.channels - n;
      store(out_of(tile, pixel), load(row_of(tile, pixel) + n), n, left < 8 ? left : 8);
    }
  }
}

// clamp((multiplier * sums + addend) >> shift, lo, hi) for 8 channels whose constants stay in registers, four to a
// register of 64-bit lanes.
// 1. vpmuldq multiplies the low signed halves of 64-bit lanes exactly; the sum wraps to 64 bits.
// 2. There is no arithmetic shift of 64-bit lanes. With b = 2^63: x xor b = x + b as an unsigned number, and
//    (x >> s) = ((x xor b) >>> s) - (b >>> s), because b is a multiple of 2^s (s <= 62) and so the floors agree.
// 3. Clamping in 64 bits leaves values of 32 bits in the low halves.
class Rescale {
 public:
  Rescale(const EpilogueTile& tile, int32_t n) : lo_(_mm256_set1_epi64x(tile.lo)), hi_(_mm256_set1_epi64x(tile.hi)) {
    const auto* multiplier = static_cast<const int32_t*>(tile.table);
    const auto* addend = reinterpret_cast<const int64_t*>(multiplier + kBlock);
    const int64_t* shift = addend + kBlock;
    for (int half = 0; half < 2; ++half) {
      const auto* factors = reinterpret_cast<const __m128i*>(multiplier + n + 4 * half);
      multiplier_[half] = _mm256_cvtepi32_epi64(_mm_load_si128(factors));
      addend_[half] = load(addend + n + 4 * half);
      shift_[half] = load(shift + n + 4 * half);
      bias_[half] = _mm256_srlv_epi64(top(), shift_[half]);
    }
  }

  __m256i apply(const int32_t* sums) const {
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256i low = _mm256_permutevar8x32_epi32(four(sums, 0), even);
    const __m256i high = _mm256_permutevar8x32_epi32(four(sums, 1), even);
    return _mm256_blend_epi32(low, high, 0xF0);
  }

 private:
  static __m256i top() { return _mm256_set1_epi64x(INT64_MIN); }

  __m256i four(const int32_t* sums, int half) const {
    const __m128i narrow = _mm_load_si128(reinterpret_cast<const __m128i*>(sums + 4 * half));
    const __m256i product = _mm256_mul_epi32(_mm256_cvtepi32_epi64(narrow), multiplier_[half]);
    const __m256i biased = _mm256_xor_si256(_mm256_add_epi64(product, addend_[half]), top());
    const __m256i moved = _mm256_sub_epi64(_mm256_srlv_epi64(biased, shift_[half]), bias_[half]);
    const __m256i raised = _mm256_blendv_epi8(moved, lo_, _mm256_cmpgt_epi64(lo_, moved));
    return _mm256_blendv_epi8(raised, hi_, _mm256_cmpgt_epi64(raised, hi_));
  }

  __m256i multiplier_[2], addend_[2], shift_[2], bias_[2], lo_, hi_;
};

// Calls store(out bytes of the pixel, value, channel, count) for each 8 channels and each pixel.
template <typename Store>
inline void rescale(const EpilogueTile& tile, Store store) {
  for (int32_t n = 0; n < tile.channels; n += 8) {
    const Rescale constants(tile, n);
    const int32_t count = tile.channels - n < 8 ? tile.channels - n : 8;
    for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
      store(out_of(tile, pixel), constants.apply(row_of(tile, pixel) + n), n, count);
    }
  }
}

// scale * sums + offset; the value fits 32 bits, so 32-bit wrapping on the way is harmless.
inline __m256i plain8(__m256i sums, const EpilogueTile& tile, int32_t n) {
  const __m256i offset = load(static_cast<const int32_t*>(tile.table) + n);
  return _mm256_add_epi32(_mm256_mullo_epi32(sums, _mm256_set1_epi32(tile.scale)), offset);
}

// Byte n / 8 of plane p = first xor (passed & toggles) xor ...: the byte of the 64-bit masks for these eight channels.
// Limits of lanes past the last channel are INT32_MAX and first is 0 there, so the bits past it are 0. kPlanes is 0
// when only known at run time; known ones stay in registers.
template <int kPlanes>
void steps_planes(const EpilogueTile& t) {
  const EpilogueTile tile = t;  // a copy that the bytes written cannot alias
  const int32_t planes = kPlanes > 0 ? kPlanes : tile.planes;
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const auto* first = reinterpret_cast<const uint8_t*>(limits + int64_t{kBlock} * tile.levels);
  const uint8_t* toggles = first + 8 * int64_t{planes};
  for_groups(tile, [&](uint8_t* out, __m256i sums, int32_t n, int32_t) {
    const int32_t byte = n / 8;
    uint32_t bits[kPlanes > 0 ? kPlanes : 32];
    for (int32_t p = 0; p < planes; ++p) bits[p] = first[8 * p + byte];
    for (int32_t level = 0; level < tile.levels; ++level) {
      const uint32_t passed = signs_of(_mm256_cmpgt_epi32(sums, load(limits + int64_t{kBlock} * level + n)));
      const uint8_t* row = toggles + 8 * int64_t{level} * planes + byte;
      for (int32_t p = 0; p < planes; ++p) bits[p] ^= passed & row[8 * p];
    }
    for (int32_t p = 0; p < planes; ++p) {
      out[static_cast<size_t>(p) * tile.plane_stride + static_cast<size_t>(byte)] = static_cast<uint8_t>(bits[p]);
    }
  });
}

}  // namespace

void epilogue_steps_planes_avx2(const EpilogueTile& tile) {
  if (tile.planes == 1) return steps_planes<1>(tile);
  if (tile.planes == 2) return steps_planes<2>(tile);
  if (tile.planes == 4) return steps_planes<4>(tile);
  steps_planes<0>(tile);
}

void epilogue_steps_bytes_avx2(const EpilogueTile& tile) {
  const auto* first = static_cast<const int32_t*>(tile.table);
  const int32_t* limits = first + kBlock;
  const int32_t* deltas = limits + int64_t{kBlock} * tile.levels;
  for_groups(tile, [&](uint8_t* out, __m256i sums, int32_t n, int32_t count) {
    __m256i values = load(first + n);
    for (int32_t level = 0; level < tile.levels; ++level) {
      const int64_t at = int64_t{kBlock} * level + n;
      const __m256i above = _mm256_cmpgt_epi32(sums, load(limits + at));
      values = _mm256_add_epi32(values, _mm256_and_si256(above, load(deltas + at)));
    }
    store_bytes(out + n, values, count);
  });
}

void epilogue_rescale_bytes_avx2(const EpilogueTile& tile) {
  const __m256i base = _mm256_set1_epi32(tile.base);
  rescale(tile, [&](uint8_t* out, __m256i value, int32_t n, int32_t count) {
    store_bytes(out + n, _mm256_sub_epi32(value, base), count);
  });
}

void epilogue_rescale_words_avx2(const EpilogueTile& tile) {
  rescale(tile, [&](uint8_t* out, __m256i value, int32_t n, int32_t count) { store_words(out + 4 * n, value, count); });
}

// Codes (v - lo) / step: step is 1 or 2 for all grids but hand-made ones, which take the portable row.
void epilogue_store_planes_avx2(const EpilogueTile& tile) {
  if (tile.step != 1 && tile.step != 2) {
    epilogue_store_planes(tile);
    return;
  }
  const __m256i lo = _mm256_set1_epi32(tile.lo);
  const __m128i halve = _mm_cvtsi32_si128(tile.step - 1);
  for_groups(tile, [&](uint8_t* out, __m256i sums, int32_t n, int32_t count) {
    const __m256i codes = _mm256_srl_epi32(_mm256_sub_epi32(plain8(sums, tile, n), lo), halve);
    const auto used = static_cast<uint8_t>((1 << count) - 1);
    for (int32_t p = 0; p < tile.planes; ++p) {
      const uint8_t bits = signs_of(_mm256_sll_epi32(codes, _mm_cvtsi32_si128(31 - p)));
      out[static_cast<size_t>(p) * tile.plane_stride + static_cast<size_t>(n) / 8] = bits & used;
    }
  });
}

void epilogue_store_bytes_avx2(const EpilogueTile& tile) {
  const __m256i base = _mm256_set1_epi32(tile.base);
  for_groups(tile, [&](uint8_t* out, __m256i sums, int32_t n, int32_t count) {
    store_bytes(out + n, _mm256_sub_epi32(plain8(sums, tile, n), base), count);
  });
}

void epilogue_store_words_avx2(const EpilogueTile& tile) {
  for_groups(tile, [&](uint8_t* out, __m256i sums, int32_t n, int32_t count) {
    store_words(out + 4 * n, plain8(sums, tile, n), count);
  });
}

}  // namespace bitlens
