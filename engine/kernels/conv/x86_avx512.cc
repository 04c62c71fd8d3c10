// SPDX-License-Identifier: Apache-2.0
// Convolution microkernels for AVX-512 with VPOPCNTDQ and VNNI. Output channels lie on the lanes, so nothing is ever
// summed across a register, and the compare mask of the epilogue is the packed output.
//
// All families share one frame: for each group of 16 channels (its part of the panel stays in the L1 cache), walk the
// pixels in tiles of up to 7. Seven pixels by two registers are 14 accumulators: enough to hide the latency, and each
// weight that is loaded serves seven pixels.
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || !defined(__AVX512DQ__) || \
    !defined(__AVX512VPOPCNTDQ__) || !defined(__AVX512VNNI__)
#error "compile this file with the flags of BITLENS_AVX512_FLAGS (CMakeLists.txt)"
#endif

#include <immintrin.h>

#include "kernels/conv/conv.h"

namespace bitlens {
namespace {

constexpr int kTile = 7;

// Size of the next tile of `left` pixels: 7, but 8..13 are split in two halves instead of 7 and a slow rest.
inline int32_t tile_of(int32_t left) {
  if (left <= kTile) return left;
  return left < 2 * kTile ? (left + 1) / 2 : kTile;
}

// Calls Kernel::run<pixels>(tile, first pixel, group) for all pixels of the tile.
template <typename Kernel>
void for_pixels(const ConvTile& t, int32_t group) {
  for (int32_t pixel = 0, count; pixel < t.pixels; pixel += count) {
    count = tile_of(t.pixels - pixel);
    switch (count) {
      case 1:
        Kernel::template run<1>(t, pixel, group);
        break;
      case 2:
        Kernel::template run<2>(t, pixel, group);
        break;
      case 3:
        Kernel::template run<3>(t, pixel, group);
        break;
      case 4:
        Kernel::template run<4>(t, pixel, group);
        break;
      case 5:
        Kernel::template run<5>(t, pixel, group);
        break;
      case 6:
        Kernel::template run<6>(t, pixel, group);
        break;
      default:
        Kernel::template run<kTile>(t, pixel, group);
    }
  }
}

inline int32_t groups_of(const ConvTile& t) { return (t.channels + 15) / 16; }

inline __m512i broadcast64(const uint8_t* bytes) {
  int64_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return _mm512_set1_epi64(word);
}

inline __m512i broadcast32(const uint8_t* bytes) {
  int32_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return _mm512_set1_epi32(word);
}

inline int32_t* sums_of(const ConvTile& t, int32_t pixel, int32_t group) {
  return t.sums + int64_t{pixel} * kBlock + 16 * group;
}

// Two registers of eight 64-bit sums -> 16 int32: the even dwords of both.
inline void store_sums(__m512i low, __m512i high, int32_t* sums) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  _mm512_store_si512(sums, _mm512_permutex2var_epi32(low, even, high));
}

// Where seven patches lie, relative to the first: three bases three patches apart, so that each address is a base plus
// 0, 1 or 2 strides (what one x86 operand can say) and seven pixels need four registers, not seven.
template <int kPixels>
class Rows {
 public:
  explicit Rows(size_t stride) : stride_(stride), three_(3 * stride) {}
  const uint8_t* at(const uint8_t* first, int pixel) const {
    const uint8_t* base = pixel < 3 ? first : pixel < 6 ? first + three_ : first + 2 * three_;
    return base + static_cast<size_t>(pixel % 3) * stride_;
  }

 private:
  size_t stride_, three_;
};

// The accumulators of a tile: eight 64-bit sums in each register, 16 channels a pixel. The loops are unrolled by hand
// of the pragma: left to itself, the compiler clears such arrays in memory before they live in registers.
template <int kPixels>
struct Sums {
  __m512i low[kPixels], high[kPixels];

  Sums() {
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) low[p] = high[p] = _mm512_setzero_si512();
  }

  void twice() {
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) {
      low[p] = _mm512_add_epi64(low[p], low[p]);
      high[p] = _mm512_add_epi64(high[p], high[p]);
    }
  }

  void store(int32_t* sums) const {
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) store_sums(low[p], high[p], sums + p * kBlock);
  }
};

// sums = sum_ij 2^(i+j) popcount(a_j xor s_i).
// 1. The plane pairs of one diagonal d = i + j have the same weight 2^d, so they share accumulators.
// 2. Diagonals from the highest down, doubling between them (Horner): the accumulator after diagonal d is
//    sum over i + j >= d of 2^(i+j-d) popcount, and after d = 0 it is the sum.
// 3. A popcount is at most 64, so lanes stay within depth * 64 * (2^W - 1) * (2^A - 1); the planner proves that the
//    sums fit 31 bits, and the 64-bit lanes are cut to 32.
struct Bits {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const Rows<kPixels> rows(t.patch_stride);
    const uint8_t* patch = t.patches + static_cast<size_t>(pixel) * t.patch_stride;
    const int32_t w_planes = t.weight_planes, a_planes = t.activation_planes, depth = t.depth;
    const size_t plane_stride = t.plane_stride;
    const int64_t plane_words = int64_t{depth} * 16;
    const auto* panel = static_cast<const uint64_t*>(t.panel) + group * w_planes * plane_words;
    Sums<kPixels> sums;
    for (int32_t diagonal = w_planes + a_planes - 2;; --diagonal) {
      const int32_t first = diagonal < a_planes ? 0 : diagonal - a_planes + 1;
      const int32_t last = diagonal < w_planes ? diagonal : w_planes - 1;
      for (int32_t i = first; i <= last; ++i) {
        const uint64_t* signs = panel + i * plane_words;
        const uint8_t* activations = patch + static_cast<size_t>(diagonal - i) * plane_stride;
        for (int32_t k = 0; k < depth; ++k, signs += 16, activations += 8) {
          const __m512i low = _mm512_load_si512(signs), high = _mm512_load_si512(signs + 8);
#pragma GCC unroll 7
          for (int p = 0; p < kPixels; ++p) {
            const __m512i a = broadcast64(rows.at(activations, p));
            sums.low[p] = _mm512_add_epi64(sums.low[p], _mm512_popcnt_epi64(_mm512_xor_si512(a, low)));
            sums.high[p] = _mm512_add_epi64(sums.high[p], _mm512_popcnt_epi64(_mm512_xor_si512(a, high)));
          }
        }
      }
      if (diagonal == 0) break;
      sums.twice();
    }
    sums.store(sums_of(t, pixel, group));
  }
};

// sums = sum_j 2^j popcount((a_j xor s) and nz): planes from the highest down, doubling between them. One vpternlog
// does both operations: its truth table, indexed by the bits (a, s, nz), is 1 at 101 and 011, which is 0x28.
struct Ternary {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const Rows<kPixels> rows(t.patch_stride);
    const uint8_t* patch = t.patches + static_cast<size_t>(pixel) * t.patch_stride;
    const int32_t depth = t.depth;
    const size_t plane_stride = t.plane_stride;
    const int64_t plane_words = int64_t{depth} * 16;
    const auto* panel = static_cast<const uint64_t*>(t.panel) + group * 2 * plane_words;
    Sums<kPixels> sums;
    for (int32_t j = t.activation_planes - 1;; --j) {
      const uint64_t *signs = panel, *nonzero = panel + plane_words;
      const uint8_t* activations = patch + static_cast<size_t>(j) * plane_stride;
      for (int32_t k = 0; k < depth; ++k, signs += 16, nonzero += 16, activations += 8) {
        const __m512i low = _mm512_load_si512(signs), high = _mm512_load_si512(signs + 8);
        const __m512i nz_low = _mm512_load_si512(nonzero), nz_high = _mm512_load_si512(nonzero + 8);
#pragma GCC unroll 7
        for (int p = 0; p < kPixels; ++p) {
          const __m512i a = broadcast64(rows.at(activations, p));
          const __m512i at_low = _mm512_ternarylogic_epi64(a, low, nz_low, 0x28);
          const __m512i at_high = _mm512_ternarylogic_epi64(a, high, nz_high, 0x28);
          sums.low[p] = _mm512_add_epi64(sums.low[p], _mm512_popcnt_epi64(at_low));
          sums.high[p] = _mm512_add_epi64(sums.high[p], _mm512_popcnt_epi64(at_high));
        }
      }
      if (j == 0) break;
      sums.twice();
    }
    sums.store(sums_of(t, pixel, group));
  }
};

// Sum of the bytes of one patch: vpdpbusd with weights 1. At most 255 * 4 * depth, within 31 bits as sum |q| * u is.
inline int32_t total_of(const uint8_t* patch, size_t bytes) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i total = _mm512_setzero_si512();
  for (size_t at = 0; at < bytes; at += 64) {
    const __mmask64 rest = bytes - at < 64 ? (__mmask64{1} << (bytes - at)) - 1 : ~__mmask64{0};
    total = _mm512_dpbusd_epi32(total, _mm512_maskz_loadu_epi8(rest, patch + at), ones);
  }
  return _mm512_reduce_add_epi32(total);
}

// sums = weight_scale * sum q*u + weight_shift * sum u. vpdpbusd adds four products u8 * s8 to an int32 lane without
// intermediate saturation (|4 * 255 * 128| < 2^18).
template <int kGroups>
struct Bytes {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const uint8_t* patches[kPixels];
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) patches[p] = t.patches + static_cast<size_t>(pixel + p) * t.patch_stride;
    const auto depth = static_cast<size_t>(t.depth);
    const auto* panel = static_cast<const int8_t*>(t.panel) + static_cast<size_t>(group) * depth * 64;
    __m512i dots[kPixels][kGroups];
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) dots[p][g] = _mm512_setzero_si512();
    }
    for (size_t k = 0; k < depth; ++k) {
      __m512i q[kGroups];
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) q[g] = _mm512_load_si512(panel + (g * depth + k) * 64);
#pragma GCC unroll 7
      for (int p = 0; p < kPixels; ++p) {
        const __m512i u = broadcast32(patches[p] + 4 * k);
#pragma GCC unroll 7
        for (int g = 0; g < kGroups; ++g) dots[p][g] = _mm512_dpbusd_epi32(dots[p][g], u, q[g]);
      }
    }
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) {
      const __m512i shift =
          _mm512_set1_epi32(t.weight_shift == 0 ? 0 : t.weight_shift * total_of(patches[p], 4 * depth));
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) {
        const __m512i dot = t.weight_scale == 2 ? _mm512_add_epi32(dots[p][g], dots[p][g]) : dots[p][g];
        _mm512_store_si512(sums_of(t, pixel + p, group + g), _mm512_add_epi32(dot, shift));
      }
    }
  }
};

// sums = sum of w * x modulo 2^32, sixteen lanes at a time; the true sum fits 32 bits.
template <int kGroups>
struct Words {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const int64_t lanes = int64_t{groups_of(t)} * 16;
    const auto* panel = static_cast<const int32_t*>(t.panel) + 16 * group;
    const uint8_t* patches[kPixels];
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) patches[p] = t.patches + static_cast<size_t>(pixel + p) * t.patch_stride;
    __m512i dots[kPixels][kGroups];
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) dots[p][g] = _mm512_setzero_si512();
    }
    for (int64_t k = 0; k < t.depth; ++k) {
      __m512i w[kGroups];
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) w[g] = _mm512_load_si512(panel + k * lanes + 16 * g);
#pragma GCC unroll 7
      for (int p = 0; p < kPixels; ++p) {
        const __m512i x = broadcast32(patches[p] + 4 * k);
#pragma GCC unroll 7
        for (int g = 0; g < kGroups; ++g) dots[p][g] = _mm512_add_epi32(dots[p][g], _mm512_mullo_epi32(w[g], x));
      }
    }
#pragma GCC unroll 7
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 7
      for (int g = 0; g < kGroups; ++g) _mm512_store_si512(sums_of(t, pixel + p, group + g), dots[p][g]);
    }
  }
};

// Pairs of groups, then the odd one.
template <template <int> class Kernel>
void for_group_pairs(const ConvTile& t) {
  int32_t group = 0;
  for (; group + 2 <= groups_of(t); group += 2) for_pixels<Kernel<2>>(t, group);
  if (group < groups_of(t)) for_pixels<Kernel<1>>(t, group);
}

// The four vectors of 64 bytes at taps[i] + offset, of which `count` exist (the rest is zero), transposed so that
// dword i of out[v] holds the four taps of one channel. unpack works inside 128-bit quarters, so out[v] has, in quarter
// c, the channels 16c + 4v .. 16c + 4v + 3; the panel (Packing::kTapQuads) has the same order.
inline void load_tap_quad(const uint8_t* const* taps, size_t offset, int32_t count, __m512i out[4]) {
  __m512i tap[4];
  for (int i = 0; i < 4; ++i) tap[i] = i < count ? _mm512_loadu_si512(taps[i] + offset) : _mm512_setzero_si512();
  const __m512i low01 = _mm512_unpacklo_epi8(tap[0], tap[1]), high01 = _mm512_unpackhi_epi8(tap[0], tap[1]);
  const __m512i low23 = _mm512_unpacklo_epi8(tap[2], tap[3]), high23 = _mm512_unpackhi_epi8(tap[2], tap[3]);
  out[0] = _mm512_unpacklo_epi16(low01, low23);
  out[1] = _mm512_unpackhi_epi16(low01, low23);
  out[2] = _mm512_unpacklo_epi16(high01, high23);
  out[3] = _mm512_unpackhi_epi16(high01, high23);
}

// Undoes the order of load_tap_quad: a 4 x 4 transposition of 128-bit quarters.
inline void store_tap_quad(const __m512i in[4], int32_t* sums) {
  const __m512i a = _mm512_shuffle_i32x4(in[0], in[1], 0x44), b = _mm512_shuffle_i32x4(in[0], in[1], 0xEE);
  const __m512i c = _mm512_shuffle_i32x4(in[2], in[3], 0x44), d = _mm512_shuffle_i32x4(in[2], in[3], 0xEE);
  _mm512_store_si512(sums, _mm512_shuffle_i32x4(a, c, 0x88));
  _mm512_store_si512(sums + 16, _mm512_shuffle_i32x4(a, c, 0xDD));
  _mm512_store_si512(sums + 32, _mm512_shuffle_i32x4(b, d, 0x88));
  _mm512_store_si512(sums + 48, _mm512_shuffle_i32x4(b, d, 0xDD));
}

}  // namespace

void conv_bits_7x16_avx512(const ConvTile& tile) {
  for (int32_t group = 0; group < groups_of(tile); ++group) for_pixels<Bits>(tile, group);
}

void conv_ternary_7x16_avx512(const ConvTile& tile) {
  for (int32_t group = 0; group < groups_of(tile); ++group) for_pixels<Ternary>(tile, group);
}

void conv_bytes_7x32_avx512(const ConvTile& tile) { for_group_pairs<Bytes>(tile); }

void conv_words_7x32_avx512(const ConvTile& tile) { for_group_pairs<Words>(tile); }

namespace {

// Four taps of 64 channels a step: 8 shuffles bring the taps of a channel into one dword, 4 vpdpbusd multiply and add.
// kTaps is the number of taps where it is known, so that the weights stay in registers, else 0.
template <int32_t kTaps>
void conv_depth_taps(const ConvTile& tile) {
  const auto* panel = static_cast<const int8_t*>(tile.panel);
  const int32_t depth = kTaps > 0 ? kTaps : tile.depth;
  const __m512i ones = _mm512_set1_epi8(1);
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const auto* taps =
        reinterpret_cast<const uint8_t* const*>(tile.patches + static_cast<size_t>(pixel) * tile.patch_stride);
    __m512i dots[4], totals[4];
    for (int v = 0; v < 4; ++v) dots[v] = totals[v] = _mm512_setzero_si512();
#pragma GCC unroll 3
    for (int32_t tap = 0; tap < depth; tap += 4) {
      __m512i u[4];
      load_tap_quad(taps + tap, tile.tap_offset, depth - tap, u);
      const int8_t* q = panel + int64_t{kBlock} * tap;
      for (int v = 0; v < 4; ++v) dots[v] = _mm512_dpbusd_epi32(dots[v], u[v], _mm512_load_si512(q + 64 * v));
      if (tile.weight_shift != 0) {
        for (int v = 0; v < 4; ++v) totals[v] = _mm512_dpbusd_epi32(totals[v], u[v], ones);
      }
    }
    if (tile.weight_scale == 2) {  // 2 dot + shift * total, shift 0 or 1
      for (int v = 0; v < 4; ++v) dots[v] = _mm512_add_epi32(_mm512_add_epi32(dots[v], dots[v]), totals[v]);
    }
    store_tap_quad(dots, tile.sums + int64_t{pixel} * kBlock);
  }
}

}  // namespace

void conv_depth_1x64_avx512(const ConvTile& tile) {
  tile.depth == 9 ? conv_depth_taps<9>(tile) : conv_depth_taps<0>(tile);
}

}  // namespace bitlens
