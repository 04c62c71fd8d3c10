// SPDX-License-Identifier: Apache-2.0
// Epilogues for AVX-512 (F, BW, VL, DQ). Sixteen channels are one register, and the mask of a compare is sixteen bits
// of the packed output.
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || !defined(__AVX512DQ__)
#error "compile this file with the flags of BITLENS_AVX512_FLAGS (CMakeLists.txt)"
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

// The low `bytes` (1..8) bytes of `bits`, and not one more.
inline void store_low_bytes(uint8_t* out, uint64_t bits, int32_t bytes) {
  if (bytes == 8) {
    __builtin_memcpy(out, &bits, 8);
    return;
  }
  if (bytes & 4) {
    const auto word = static_cast<uint32_t>(bits);
    __builtin_memcpy(out, &word, 4);
    out += 4;
    bits >>= 32;
  }
  if (bytes & 2) {
    const auto word = static_cast<uint16_t>(bits);
    __builtin_memcpy(out, &word, 2);
    out += 2;
    bits >>= 16;
  }
  if (bytes & 1) *out = static_cast<uint8_t>(bits);
}

// The first `count` (1..16) lanes as bytes, cut to 8 bits.
inline void store_bytes(uint8_t* out, __m512i words, int32_t count) {
  const __m128i bytes = _mm512_cvtepi32_epi8(words);
  if (count >= 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    return;
  }
  if (count & 8) {
    store_low_bytes(out, static_cast<uint64_t>(_mm_cvtsi128_si64(bytes)), 8);
    if (count > 8) store_low_bytes(out + 8, static_cast<uint64_t>(_mm_extract_epi64(bytes, 1)), count - 8);
  } else {
    store_low_bytes(out, static_cast<uint64_t>(_mm_cvtsi128_si64(bytes)), count);
  }
}

// The first `count` (1..16) lanes as words.
inline void store_words(uint8_t* out, __m512i words, int32_t count) {
  if (count >= 16) {
    _mm512_storeu_si512(out, words);
  } else {
    _mm512_mask_storeu_epi32(out, static_cast<__mmask16>((1u << count) - 1), words);
  }
}

// 16 masks of 16 channels -> 64 bits.
inline uint64_t join(__mmask16 a, __mmask16 b, __mmask16 c, __mmask16 d) {
  return _cvtmask64_u64(_mm512_kunpackd(_mm512_kunpackw(d, c), _mm512_kunpackw(b, a)));
}

// Channels of a block, in groups of 16, of which kGroups are in use.
template <int kGroups>
inline uint64_t passed(const __m512i sums[], const int32_t* limits) {
  __mmask16 masks[4] = {0, 0, 0, 0};
  for (int g = 0; g < kGroups; ++g) masks[g] = _mm512_cmpgt_epi32_mask(sums[g], _mm512_load_si512(limits + 16 * g));
  return join(masks[0], masks[1], masks[2], masks[3]);
}

// plane p = first[p] xor (passed_l & toggles[l][p]) over all levels l, 64 channels at once.
// kLevels and kPlanes are 0 when only known at run time; known ones let the compiler keep limits and masks in
// registers.
template <int kGroups, int kLevels, int kPlanes>
void steps_planes(const EpilogueTile& tile) {
  const int32_t levels = kLevels > 0 ? kLevels : tile.levels;
  const int32_t planes = kPlanes > 0 ? kPlanes : tile.planes;
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const auto* first = reinterpret_cast<const uint64_t*>(limits + int64_t{kBlock} * levels);
  const uint64_t* toggles = first + planes;
  const int32_t bytes = (tile.channels + 7) / 8;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    __m512i sums[kGroups];
    for (int g = 0; g < kGroups; ++g) sums[g] = _mm512_load_si512(row_of(tile, pixel) + 16 * g);
    uint64_t out[kPlanes > 0 ? kPlanes : 32];
    for (int32_t p = 0; p < planes; ++p) out[p] = first[p];
    for (int32_t level = 0; level < levels; ++level) {
      const uint64_t mask = passed<kGroups>(sums, limits + int64_t{kBlock} * level);
      for (int32_t p = 0; p < planes; ++p) out[p] ^= mask & toggles[level * planes + p];
    }
    for (int32_t p = 0; p < planes; ++p) {
      store_low_bytes(out_of(tile, pixel) + static_cast<size_t>(p) * tile.plane_stride, out[p], bytes);
    }
  }
}

// How many of 2^P - 1 ascending limits 16 sums exceed, bit by bit: the limits stay in registers, and P compares do.
// 1. Bit P - 1 of the count is S > limit[2^(P-1) - 1]: exactly then at least 2^(P-1) limits lie below S.
// 2. Given the higher bits h of the count, bit p is S > limit[h + 2^p - 1]. Each lane picks its own limit out of the
//    2^(P-1-p) that differ in h by masked moves, those of the highest bit, known for longest, first.
template <int kPlanes>
class Bisection {
 public:
  // `limits` of one group of 16 channels, kBlock apart from level to level.
  explicit Bisection(const int32_t* limits) {
    for (int level = 0; level < kLevels; ++level) limits_[level] = _mm512_load_si512(limits + kBlock * level);
  }

  void count(__m512i sums, __mmask16 bits[kPlanes]) const { count_bit<kPlanes - 1>(sums, bits); }

 private:
  static constexpr int kLevels = (1 << kPlanes) - 1;

  // Bits kBit, kBit - 1, ..., 0.
  template <int kBit>
  void count_bit(__m512i sums, __mmask16 bits[kPlanes]) const {
    bits[kBit] = _mm512_cmpgt_epi32_mask(sums, choose<kBit, kBit + 1, 0>(bits));
    if constexpr (kBit > 0) count_bit<kBit - 1>(sums, bits);
  }

  // limit[h + 2^kBit - 1], where kHigh has the bits of h below kNext, and the others are those of each lane.
  template <int kBit, int kNext, int kHigh>
  __m512i choose(const __mmask16 bits[kPlanes]) const {
    if constexpr (kNext == kPlanes) {
      return limits_[kHigh + (1 << kBit) - 1];
    } else {
      return _mm512_mask_mov_epi32(choose<kBit, kNext + 1, kHigh>(bits), bits[kNext],
                                   choose<kBit, kNext + 1, kHigh + (1 << kNext)>(bits));
    }
  }

  __m512i limits_[kLevels];
};

// Whether bit p toggles at every 2^p-th level, for all channels: the codes rise or fall by one a level.
inline bool is_counting(const EpilogueTile& tile) {
  const auto* first =
      reinterpret_cast<const uint64_t*>(static_cast<const int32_t*>(tile.table) + int64_t{kBlock} * tile.levels);
  const uint64_t* toggles = first + tile.planes;
  const uint64_t used = tile.channels == kBlock ? ~uint64_t{0} : (uint64_t{1} << tile.channels) - 1;
  for (int32_t level = 0; level < tile.levels; ++level) {
    for (int32_t p = 0; p < tile.planes; ++p) {
      const uint64_t expected = ((level + 1) & ((1 << p) - 1)) == 0 ? used : 0;
      if ((toggles[level * tile.planes + p] & used) != expected) return false;
    }
  }
  return true;
}

// Plane p = first[p] xor bit p of the number of limits passed.
template <int kPlanes>
void count_planes(const EpilogueTile& tile) {
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const auto* first = reinterpret_cast<const uint64_t*>(limits + int64_t{kBlock} * tile.levels);
  for (int32_t n = 0; n < tile.channels; n += 16) {
    const Bisection<kPlanes> bisection(limits + n);
    const int32_t left = tile.channels - n;
    const int32_t bytes = left > 8 ? 2 : 1;
    for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
      __mmask16 bits[kPlanes];
      bisection.count(_mm512_load_si512(row_of(tile, pixel) + n), bits);
      uint8_t* out = out_of(tile, pixel) + n / 8;
      for (int p = 0; p < kPlanes; ++p) {
        const uint64_t plane = _cvtmask16_u32(bits[p]) ^ (first[p] >> n);
        store_low_bytes(out + static_cast<size_t>(p) * tile.plane_stride, plane, bytes);
      }
    }
  }
}

// byte = first + delta * (number of limits passed), where the delta of a channel is the same at every level.
template <int kPlanes>
void count_bytes(const EpilogueTile& tile) {
  const auto* first = static_cast<const int32_t*>(tile.table);
  const int32_t* limits = first + kBlock;
  const int32_t* deltas = limits + int64_t{kBlock} * tile.levels;
  for (int32_t n = 0; n < tile.channels; n += 16) {
    const Bisection<kPlanes> bisection(limits + n);
    const __m512i start = _mm512_load_si512(first + n);
    __m512i delta[kPlanes];
    delta[0] = _mm512_load_si512(deltas + n);
    for (int p = 1; p < kPlanes; ++p) delta[p] = _mm512_add_epi32(delta[p - 1], delta[p - 1]);
    const int32_t count = tile.channels - n < 16 ? tile.channels - n : 16;
    for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
      __mmask16 bits[kPlanes];
      bisection.count(_mm512_load_si512(row_of(tile, pixel) + n), bits);
      __m512i value = start;
      for (int p = 0; p < kPlanes; ++p) value = _mm512_mask_add_epi32(value, bits[p], value, delta[p]);
      store_bytes(out_of(tile, pixel) + n, value, count);
    }
  }
}

// Lanes past the last channel do not count. A strip may be as short as seven pixels, so this must be quick.
inline bool has_equal_deltas(const EpilogueTile& tile) {
  const int32_t* deltas = static_cast<const int32_t*>(tile.table) + kBlock * (int64_t{tile.levels} + 1);
  for (int32_t n = 0; n < tile.channels; n += 16) {
    const __m512i first = _mm512_load_si512(deltas + n);
    __mmask16 differ = 0;
    for (int32_t level = 1; level < tile.levels; ++level) {
      differ |= _mm512_cmpneq_epi32_mask(first, _mm512_load_si512(deltas + int64_t{kBlock} * level + n));
    }
    const int32_t left = tile.channels - n;
    if ((differ & (left < 16 ? (1u << left) - 1 : 0xFFFFu)) != 0) return false;
  }
  return true;
}

template <int kGroups>
void steps_planes_of(const EpilogueTile& tile) {
  if (tile.levels == 1 && tile.planes == 1) {
    steps_planes<kGroups, 1, 1>(tile);
  } else if (tile.levels == 3 && tile.planes == 2) {
    steps_planes<kGroups, 3, 2>(tile);
  } else {
    steps_planes<kGroups, 0, 0>(tile);
  }
}

// Calls store(out bytes of the pixel, sums, channel, count) for each pixel and each 16 channels.
template <typename Store>
inline void for_groups(const EpilogueTile& tile, Store store) {
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    for (int32_t n = 0; n < tile.channels; n += 16) {
      const int32_t left = tile.channels - n;
      store(out_of(tile, pixel), _mm512_load_si512(row_of(tile, pixel) + n), n, left < 16 ? left : 16);
    }
  }
}

// clamp((multiplier * sums + addend) >> shift, lo, hi) for 16 channels whose constants stay in registers.
// 1. vpmuldq multiplies the low signed halves of 64-bit lanes exactly (below 2^62 in magnitude).
// 2. The sum wraps to 64 bits and the shift is arithmetic, as in the portable row.
// 3. vpmovsqd saturates to 32 bits; lo and hi are within 32 bits, so clamping afterwards gives the same.
class Rescale {
 public:
  Rescale(const EpilogueTile& tile, int32_t n) : lo_(_mm512_set1_epi32(tile.lo)), hi_(_mm512_set1_epi32(tile.hi)) {
    const auto* multiplier = static_cast<const int32_t*>(tile.table);
    const auto* addend = reinterpret_cast<const int64_t*>(multiplier + kBlock);
    const int64_t* shift = addend + kBlock;
    for (int half = 0; half < 2; ++half) {
      const auto* factors = reinterpret_cast<const __m256i*>(multiplier + n + 8 * half);
      multiplier_[half] = _mm512_cvtepi32_epi64(_mm256_load_si256(factors));
      addend_[half] = _mm512_load_si512(addend + n + 8 * half);
      shift_[half] = _mm512_load_si512(shift + n + 8 * half);
    }
  }

  __m512i apply(const int32_t* sums) const {
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(eight(sums, 0)), eight(sums, 1), 1);
    return _mm512_min_epi32(_mm512_max_epi32(both, lo_), hi_);
  }

 private:
  __m256i eight(const int32_t* sums, int half) const {
    const __m256i narrow = _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + 8 * half));
    const __m512i product = _mm512_mul_epi32(_mm512_cvtepi32_epi64(narrow), multiplier_[half]);
    return _mm512_cvtsepi64_epi32(_mm512_srav_epi64(_mm512_add_epi64(product, addend_[half]), shift_[half]));
  }

  __m512i multiplier_[2], addend_[2], shift_[2], lo_, hi_;
};

// Calls store(out bytes of the pixel, value, channel, count) for each 16 channels and each pixel.
template <typename Store>
inline void rescale(const EpilogueTile& tile, Store store) {
  for (int32_t n = 0; n < tile.channels; n += 16) {
    const Rescale constants(tile, n);
    const int32_t count = tile.channels - n < 16 ? tile.channels - n : 16;
    for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
      store(out_of(tile, pixel), constants.apply(row_of(tile, pixel) + n), n, count);
    }
  }
}

// scale * sums + offset; the value fits 32 bits, so 32-bit wrapping on the way is harmless.
inline __m512i plain16(__m512i sums, const EpilogueTile& tile, int32_t n) {
  const __m512i offset = _mm512_load_si512(static_cast<const int32_t*>(tile.table) + n);
  const __m512i scaled =
      tile.scale == 2 ? _mm512_add_epi32(sums, sums) : _mm512_mullo_epi32(sums, _mm512_set1_epi32(tile.scale));
  return _mm512_add_epi32(scaled, offset);
}

// The number of limits below the sum, for 16 channels with their own rows: a bisection that every lane walks in step.
// Invariant: the answer lies in low .. low + width; each round halves width, rounding down, until it is 0.
inline __m512i count_below(__m512i sums, const int32_t* limits, int32_t n, int32_t levels) {
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i row = _mm512_mullo_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(n)), _mm512_set1_epi32(levels));
  __m512i low = _mm512_setzero_si512();
  for (int32_t width = levels; width > 0;) {
    const int32_t half = width - width / 2;  // 1..width: look at limit low + half - 1
    const __m512i index = _mm512_add_epi32(_mm512_add_epi32(row, low), _mm512_set1_epi32(half - 1));
    const __mmask16 below = _mm512_cmpgt_epi32_mask(sums, _mm512_i32gather_epi32(index, limits, 4));
    low = _mm512_mask_add_epi32(low, below, low, _mm512_set1_epi32(half));
    width -= half;
  }
  return low;
}

inline __m512i search16(__m512i sums, const EpilogueTile& tile, int32_t n) {
  const auto* limits = static_cast<const int32_t*>(tile.table);
  const int32_t* values = limits + int64_t{kBlock} * tile.levels;
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i channel = _mm512_add_epi32(lane, _mm512_set1_epi32(n));
  const __m512i row = _mm512_mullo_epi32(channel, _mm512_set1_epi32(tile.levels + 1));
  const __m512i index = _mm512_add_epi32(row, count_below(sums, limits, n, tile.levels));
  return _mm512_i32gather_epi32(index, values, 4);
}

}  // namespace

void epilogue_steps_planes_avx512(const EpilogueTile& tile) {
  if (tile.planes == 2 && tile.levels == 3 && is_counting(tile)) return count_planes<2>(tile);
  if (tile.planes == 3 && tile.levels == 7 && is_counting(tile)) return count_planes<3>(tile);
  if (tile.planes == 4 && tile.levels == 15 && is_counting(tile)) return count_planes<4>(tile);
  switch ((tile.channels + 15) / 16) {
    case 1:
      return steps_planes_of<1>(tile);
    case 2:
      return steps_planes_of<2>(tile);
    case 3:
      return steps_planes_of<3>(tile);
    default:
      return steps_planes_of<4>(tile);
  }
}

void epilogue_steps_bytes_avx512(const EpilogueTile& tile) {
  if (tile.levels == 7 && has_equal_deltas(tile)) return count_bytes<3>(tile);
  if (tile.levels == 15 && has_equal_deltas(tile)) return count_bytes<4>(tile);
  const auto* first = static_cast<const int32_t*>(tile.table);
  const int32_t* limits = first + kBlock;
  const int32_t* deltas = limits + int64_t{kBlock} * tile.levels;
  for_groups(tile, [&](uint8_t* out, __m512i sums, int32_t n, int32_t count) {
    __m512i values = _mm512_load_si512(first + n);
    for (int32_t level = 0; level < tile.levels; ++level) {
      const int64_t at = int64_t{kBlock} * level + n;
      const __mmask16 above = _mm512_cmpgt_epi32_mask(sums, _mm512_load_si512(limits + at));
      values = _mm512_mask_add_epi32(values, above, values, _mm512_load_si512(deltas + at));
    }
    store_bytes(out + n, values, count);
  });
}

void epilogue_search_bytes_avx512(const EpilogueTile& tile) {
  for_groups(tile, [&](uint8_t* out, __m512i sums, int32_t n, int32_t count) {
    store_bytes(out + n, search16(sums, tile, n), count);
  });
}

void epilogue_search_words_avx512(const EpilogueTile& tile) {
  for_groups(tile, [&](uint8_t* out, __m512i sums, int32_t n, int32_t count) {
    store_words(out + 4 * n, search16(sums, tile, n), count);
  });
}

void epilogue_rescale_bytes_avx512(const EpilogueTile& tile) {
  const __m512i base = _mm512_set1_epi32(tile.base);
  rescale(tile, [&](uint8_t* out, __m512i value, int32_t n, int32_t count) {
    store_bytes(out + n, _mm512_sub_epi32(value, base), count);
  });
}

void epilogue_rescale_words_avx512(const EpilogueTile& tile) {
  rescale(tile, [&](uint8_t* out, __m512i value, int32_t n, int32_t count) { store_words(out + 4 * n, value, count); });
}

// Codes (v - lo) / step: step is 1 or 2 for all grids but hand-made ones, which take the portable row.
void epilogue_store_planes_avx512(const EpilogueTile& tile) {
  if (tile.step != 1 && tile.step != 2) {
    epilogue_store_planes(tile);
    return;
  }
  const __m512i lo = _mm512_set1_epi32(tile.lo);
  const __m128i halve = _mm_cvtsi32_si128(tile.step - 1);
  const uint64_t used = tile.channels == kBlock ? ~uint64_t{0} : (uint64_t{1} << tile.channels) - 1;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    __m512i codes[4];
    for (int g = 0; g < 4; ++g) {
      codes[g] = _mm512_setzero_si512();
      if (16 * g >= tile.channels) continue;
      const __m512i value = plain16(_mm512_load_si512(row_of(tile, pixel) + 16 * g), tile, 16 * g);
      codes[g] = _mm512_srl_epi32(_mm512_sub_epi32(value, lo), halve);
    }
    for (int32_t p = 0; p < tile.planes; ++p) {
      const __m512i bit = _mm512_set1_epi32(1 << p);
      const uint64_t mask = join(_mm512_test_epi32_mask(codes[0], bit), _mm512_test_epi32_mask(codes[1], bit),
                                 _mm512_test_epi32_mask(codes[2], bit), _mm512_test_epi32_mask(codes[3], bit));
      store_low_bytes(out_of(tile, pixel) + static_cast<size_t>(p) * tile.plane_stride, mask & used,
                      (tile.channels + 7) / 8);
    }
  }
}

void epilogue_store_bytes_avx512(const EpilogueTile& tile) {
  const __m512i base = _mm512_set1_epi32(tile.base);
  for_groups(tile, [&](uint8_t* out, __m512i sums, int32_t n, int32_t count) {
    store_bytes(out + n, _mm512_sub_epi32(plain16(sums, tile, n), base), count);
  });
}

void epilogue_store_words_avx512(const EpilogueTile& tile) {
  for_groups(tile, [&](uint8_t* out, __m512i sums, int32_t n, int32_t count) {
    store_words(out + 4 * n, plain16(sums, tile, n), count);
  });
}

}  // namespace bitlens
