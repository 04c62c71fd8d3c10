// SPDX-License-Identifier: Apache-2.0
// Convolution microkernels for AVX2: no popcount of vectors and no vpdpbusd, sixteen registers.
#if !defined(__AVX2__) || defined(__AVX512F__)
#error "compile this file with the flags of BITLENS_AVX2_FLAGS (CMakeLists.txt)"
#endif

#include <immintrin.h>

#include "kernels/conv/conv.h"

namespace bitlens {
namespace {

inline int32_t groups_of(const ConvTile& t) { return (t.channels + 15) / 16; }

inline const uint8_t* patch_of(const ConvTile& t, int32_t pixel) {
  return t.patches + static_cast<size_t>(pixel) * t.patch_stride;
}

inline int32_t* sums_of(const ConvTile& t, int32_t pixel, int32_t group) {
  return t.sums + int64_t{pixel} * kBlock + 16 * group;
}

inline __m256i load(const void* bytes) { return _mm256_load_si256(static_cast<const __m256i*>(bytes)); }

inline void store(int32_t* sums, __m256i value) { _mm256_store_si256(reinterpret_cast<__m256i*>(sums), value); }

inline __m256i broadcast64(const uint8_t* bytes) {
  int64_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return _mm256_set1_epi64x(word);
}

inline __m256i broadcast32(const uint8_t* bytes) {
  int32_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return _mm256_set1_epi32(word);
}

// Calls Kernel::run<pixels>(tile, first pixel, group) in tiles of four pixels, three and fewer at the end.
template <typename Kernel>
void for_pixels(const ConvTile& t, int32_t group) {
  int32_t pixel = 0;
  for (; pixel + 4 <= t.pixels; pixel += 4) Kernel::template run<4>(t, pixel, group);
  switch (t.pixels - pixel) {
    case 3:
      return Kernel::template run<3>(t, pixel, group);
    case 2:
      return Kernel::template run<2>(t, pixel, group);
    case 1:
      return Kernel::template run<1>(t, pixel, group);
    default:
      return;
  }
}

template <typename Kernel>
void for_groups(const ConvTile& t) {
  for (int32_t group = 0; group < groups_of(t); ++group) for_pixels<Kernel>(t, group);
}

// Words whose popcounts fit a byte: each adds at most 4 + 4 per byte, and 31 * 8 = 248 <= 255.
constexpr int32_t kByteWords = 31;

// Adds, for the words begin .. end - 1 of one plane pair and four outputs (one ymm, a 64-bit lane each), the ones of
// every byte of (a xor s), or of (a xor s) and nz.
// 1. A nibble's ones are a look-up in 16 entries (vpshufb), so bytes are split into their low and high nibbles.
// 2. The panel holds each weight word already split (Packing::kNibbles): low nibbles, then high ones; the activation
//    word is split once for all outputs. The xor of two nibbles below 16 is below 16: a valid index.
// 3. Each look-up is at most 4, so a byte of the result grows by at most 8 a word.
struct Nibbles {
  __m256i low, high;
};

inline Nibbles split(__m256i word) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(word, mask), _mm256_and_si256(_mm256_srli_epi16(word, 4), mask)};
}

inline __m256i ones_of(__m256i nibbles) {
  const __m256i table =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  return _mm256_shuffle_epi8(table, nibbles);
}

// One plane pair of 1 or 2 pixels and 16 outputs: adds weight * popcount to totals. `signs` and `nonzero` are planes of
// the split panel, [depth][4 ymm][low, high].
template <int kPixels, bool kTernary>
inline void add_plane(const uint8_t* const activations[], const uint8_t* signs, const uint8_t* nonzero, int32_t depth,
                      int32_t shift, __m256i totals[][4]) {
  const __m256i zero = _mm256_setzero_si256();
  for (int32_t begin = 0; begin < depth; begin += kByteWords) {
    const int32_t end = depth - begin < kByteWords ? depth : begin + kByteWords;
    __m256i counts[kPixels][4];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) counts[p][v] = zero;
    }
    for (int32_t k = begin; k < end; ++k) {
      Nibbles a[kPixels];
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) a[p] = split(broadcast64(activations[p] + 8 * k));
      const uint8_t* s = signs + int64_t{k} * 256;
      const uint8_t* nz = nonzero + int64_t{k} * 256;
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) {
          __m256i low = _mm256_xor_si256(a[p].low, load(s + 64 * v));
          __m256i high = _mm256_xor_si256(a[p].high, load(s + 64 * v + 32));
          if (kTernary) {
            low = _mm256_and_si256(low, load(nz + 64 * v));
            high = _mm256_and_si256(high, load(nz + 64 * v + 32));
          }
          counts[p][v] = _mm256_add_epi8(counts[p][v], _mm256_add_epi8(ones_of(low), ones_of(high)));
        }
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {  // vpsadbw adds the eight bytes of each output
        const __m256i sum = _mm256_sll_epi64(_mm256_sad_epu8(counts[p][v], zero), _mm_cvtsi32_si128(shift));
        totals[p][v] = _mm256_add_epi64(totals[p][v], sum);
      }
    }
  }
}

// Four registers of four 64-bit totals -> 16 int32.
inline void store_totals(const __m256i totals[4], int32_t* sums) {
  const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  for (int v = 0; v < 4; v += 2) {
    const __m256i low = _mm256_permutevar8x32_epi32(totals[v], even);
    const __m256i high = _mm256_permutevar8x32_epi32(totals[v + 1], even);
    store(sums + 4 * v, _mm256_blend_epi32(low, high, 0xF0));
  }
}

// All plane pairs of kPixels pixels.
template <int kPixels, bool kTernary>
inline void planes_tile(const ConvTile& t, int32_t pixel, int32_t group) {
  const int64_t plane_bytes = int64_t{t.depth} * 256;
  const auto* panel = static_cast<const uint8_t*>(t.panel) + group * t.weight_planes * plane_bytes;
  __m256i totals[kPixels][4];
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) totals[p][v] = _mm256_setzero_si256();
  }
  for (int32_t j = 0; j < t.activation_planes; ++j) {
    const uint8_t* activations[kPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) activations[p] = patch_of(t, pixel + p) + static_cast<size_t>(j) * t.plane_stride;
    if (kTernary) {
      add_plane<kPixels, true>(activations, panel, panel + plane_bytes, t.depth, j, totals);
      continue;
    }
    for (int32_t i = 0; i < t.weight_planes; ++i) {
      const uint8_t* signs = panel + i * plane_bytes;
      add_plane<kPixels, false>(activations, signs, signs, t.depth, i + j, totals);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) store_totals(totals[p], sums_of(t, pixel + p, group));
}

template <bool kTernary>
void conv_planes(const ConvTile& t) {
  for (int32_t group = 0; group < groups_of(t); ++group) {
    int32_t pixel = 0;
    for (; pixel + 2 <= t.pixels; pixel += 2) planes_tile<2, kTernary>(t, pixel, group);
    if (pixel < t.pixels) planes_tile<1, kTernary>(t, pixel, group);
  }
}

// Sum of the bytes of one patch; `bytes` is a multiple of 4.
inline int32_t total_of(const uint8_t* patch, int32_t bytes) {
  __m256i total = _mm256_setzero_si256();
  int32_t at = 0;
  for (; at + 32 <= bytes; at += 32) {
    const __m256i u = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(patch + at));
    total = _mm256_add_epi64(total, _mm256_sad_epu8(u, _mm256_setzero_si256()));
  }
  int64_t lanes[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), total);
  auto sum = static_cast<int32_t>(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
  for (; at < bytes; ++at) sum += patch[at];
  return sum;
}

// weight_scale * dots + weight_shift * total for 16 outputs of each pixel.
template <int kPixels>
inline void store_dots(const ConvTile& t, int32_t pixel, int32_t group, const __m256i dots[][2]) {
#pragma GCC unroll 4
  for (int p = 0; p < kPixels; ++p) {
    const int32_t total = t.weight_shift == 0 ? 0 : t.weight_shift * total_of(patch_of(t, pixel + p), 4 * t.depth);
#pragma GCC unroll 4
    for (int v = 0; v < 2; ++v) {
      const __m256i dot = t.weight_scale == 2 ? _mm256_add_epi32(dots[p][v], dots[p][v]) : dots[p][v];
      store(sums_of(t, pixel + p, group) + 8 * v, _mm256_add_epi32(dot, _mm256_set1_epi32(total)));
    }
  }
}

// Products u8 * s8 that vpmaddubsw may add in pairs, kSteps of them in a row, without leaving 16 bits: the condition of
// the row of kernels.inc is 2 * kSteps * weight_max * activation_max <= 32767. vpmaddwd by ones then adds neighbours
// to 32 bits.
template <int kSteps>
struct NarrowBytes {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const auto* panel = static_cast<const int8_t*>(t.panel) + int64_t{group} * t.depth * 64;
    const __m256i ones = _mm256_set1_epi16(1);
    const uint8_t* patches[kPixels];
    __m256i dots[kPixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      patches[p] = patch_of(t, pixel + p);
      dots[p][0] = dots[p][1] = _mm256_setzero_si256();
    }
    for (int32_t begin = 0; begin < t.depth; begin += kSteps) {
      const int32_t end = t.depth - begin < kSteps ? t.depth : begin + kSteps;
      __m256i pairs[kPixels][2];
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) pairs[p][0] = pairs[p][1] = _mm256_setzero_si256();
      for (int32_t k = begin; k < end; ++k) {
        const __m256i q0 = load(panel + int64_t{k} * 64), q1 = load(panel + int64_t{k} * 64 + 32);
#pragma GCC unroll 4
        for (int p = 0; p < kPixels; ++p) {
          const __m256i u = broadcast32(patches[p] + 4 * k);
          pairs[p][0] = _mm256_add_epi16(pairs[p][0], _mm256_maddubs_epi16(u, q0));
          pairs[p][1] = _mm256_add_epi16(pairs[p][1], _mm256_maddubs_epi16(u, q1));
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 4
        for (int v = 0; v < 2; ++v) dots[p][v] = _mm256_add_epi32(dots[p][v], _mm256_madd_epi16(pairs[p][v], ones));
      }
    }
    store_dots<kPixels>(t, pixel, group, dots);
  }
};

// Any u8 * s8, where vpmaddubsw could saturate (2 * 255 * 128 > 32767): even and odd bytes are widened to 16 bits, and
// vpmaddwd adds the products of bytes 0 and 2, and of 1 and 3, exactly in 32 bits.
struct WideBytes {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const auto* panel = static_cast<const int8_t*>(t.panel) + int64_t{group} * t.depth * 64;
    const __m256i low = _mm256_set1_epi16(255);
    const uint8_t* patches[kPixels];
    __m256i dots[kPixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      patches[p] = patch_of(t, pixel + p);
      dots[p][0] = dots[p][1] = _mm256_setzero_si256();
    }
    for (int32_t k = 0; k < t.depth; ++k) {
      __m256i even[2], odd[2];
#pragma GCC unroll 4
      for (int v = 0; v < 2; ++v) {
        const __m256i q = load(panel + int64_t{k} * 64 + 32 * v);
        even[v] = _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8);
        odd[v] = _mm256_srai_epi16(q, 8);
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        const __m256i u = broadcast32(patches[p] + 4 * k);
        const __m256i u_even = _mm256_and_si256(u, low), u_odd = _mm256_srli_epi16(u, 8);
#pragma GCC unroll 4
        for (int v = 0; v < 2; ++v) {
          dots[p][v] = _mm256_add_epi32(dots[p][v], _mm256_madd_epi16(u_even, even[v]));
          dots[p][v] = _mm256_add_epi32(dots[p][v], _mm256_madd_epi16(u_odd, odd[v]));
        }
      }
    }
    store_dots<kPixels>(t, pixel, group, dots);
  }
};

// sums = sum of w * x modulo 2^32; the true sum fits 32 bits.
struct Words {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const int64_t lanes = int64_t{groups_of(t)} * 16;
    const auto* panel = static_cast<const int32_t*>(t.panel) + 16 * group;
    __m256i dots[kPixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) dots[p][0] = dots[p][1] = _mm256_setzero_si256();
    for (int64_t k = 0; k < t.depth; ++k) {
      const __m256i w0 = load(panel + k * lanes), w1 = load(panel + k * lanes + 8);
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        const __m256i x = broadcast32(patch_of(t, pixel + p) + 4 * k);
        dots[p][0] = _mm256_add_epi32(dots[p][0], _mm256_mullo_epi32(w0, x));
        dots[p][1] = _mm256_add_epi32(dots[p][1], _mm256_mullo_epi32(w1, x));
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      store(sums_of(t, pixel + p, group), dots[p][0]);
      store(sums_of(t, pixel + p, group) + 8, dots[p][1]);
    }
  }
};

// Depthwise, 16 channels. Two taps make 16-bit pairs of one channel, and vpmaddwd multiplies and adds them exactly: the
// weight scale * q + shift is at most 257 in magnitude. unpack works inside 128 bits, so the first register has the
// channels 0-3 and 8-11, the second 4-7 and 12-15.
struct Depth {
  template <int kPixels>
  static void run(const ConvTile& t, int32_t pixel, int32_t group) {
    const auto* panel = static_cast<const uint8_t*>(t.panel) + 16 * group;
    const __m256i scale = _mm256_set1_epi16(static_cast<int16_t>(t.weight_scale));
    const __m256i shift = _mm256_set1_epi16(static_cast<int16_t>(t.weight_shift));
    __m256i dots[kPixels][2];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) dots[p][0] = dots[p][1] = _mm256_setzero_si256();
    for (int32_t tap = 0; tap < t.depth; tap += 2) {
      const bool pair = tap + 1 < t.depth;
      const int64_t at = int64_t{kBlock} * tap;
      const __m256i first = widen_signed(panel + at, scale, shift);
      const __m256i second = pair ? widen_signed(panel + at + kBlock, scale, shift) : _mm256_setzero_si256();
      const __m256i low = _mm256_unpacklo_epi16(first, second), high = _mm256_unpackhi_epi16(first, second);
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        const auto* taps = reinterpret_cast<const uint8_t* const*>(patch_of(t, pixel + p)) + tap;
        const size_t channel = t.tap_offset + static_cast<size_t>(16 * group);
        const __m256i u0 = widen(taps[0] + channel), u1 = pair ? widen(taps[1] + channel) : _mm256_setzero_si256();
        dots[p][0] = _mm256_add_epi32(dots[p][0], _mm256_madd_epi16(_mm256_unpacklo_epi16(u0, u1), low));
        dots[p][1] = _mm256_add_epi32(dots[p][1], _mm256_madd_epi16(_mm256_unpackhi_epi16(u0, u1), high));
      }
    }
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      store(sums_of(t, pixel + p, group), _mm256_permute2x128_si256(dots[p][0], dots[p][1], 0x20));
      store(sums_of(t, pixel + p, group) + 8, _mm256_permute2x128_si256(dots[p][0], dots[p][1], 0x31));
    }
  }

  static __m256i widen(const uint8_t* u) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(u)));
  }

  static __m256i widen_signed(const uint8_t* q, __m256i scale, __m256i shift) {
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
    return _mm256_add_epi16(_mm256_mullo_epi16(wide, scale), shift);
  }
};

}  // namespace

void conv_bits_2x16_avx2(const ConvTile& tile) { conv_planes<false>(tile); }

void conv_ternary_2x16_avx2(const ConvTile& tile) { conv_planes<true>(tile); }

void conv_bytes_narrow16_avx2(const ConvTile& tile) { for_groups<NarrowBytes<16>>(tile); }

void conv_bytes_narrow1_avx2(const ConvTile& tile) { for_groups<NarrowBytes<1>>(tile); }

void conv_bytes_wide_avx2(const ConvTile& tile) { for_groups<WideBytes>(tile); }

void conv_depth_4x16_avx2(const ConvTile& tile) { for_groups<Depth>(tile); }

void conv_words_4x16_avx2(const ConvTile& tile) { for_groups<Words>(tile); }

}  // namespace bitlens
