// SPDX-License-Identifier: Apache-2.0
// The reference of every family: plain C++, any processor.
#include <cstring>

#include "kernels/conv/conv.h"

namespace bitlens {
namespace {

uint64_t load64(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// Ones of a word, without a popcount instruction: pairs, nibbles, bytes, then one multiply adds the eight bytes.
int32_t ones(uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<int32_t>((word * 0x0101010101010101u) >> 56);
}

// Sums of one pixel and one group of 16 channels for the plane pair (s, nz or none, a).
void add_plane(const uint8_t* activation, const uint64_t* signs, const uint64_t* nonzero, int32_t depth, int32_t weight,
               int32_t* sums) {
  for (int32_t word = 0; word < depth; ++word) {
    const uint64_t a = load64(activation + 8 * word);
    for (int lane = 0; lane < 16; ++lane) {
      const uint64_t mask = nonzero == nullptr ? ~uint64_t{0} : nonzero[16 * word + lane];
      sums[lane] += weight * ones((a ^ signs[16 * word + lane]) & mask);
    }
  }
}

void conv_planes(const ConvTile& tile, bool ternary) {
  const auto* panel = static_cast<const uint64_t*>(tile.panel);
  const int64_t plane_words = int64_t{tile.depth} * 16;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const uint8_t* patch = tile.patches + pixel * tile.patch_stride;
    int32_t* sums = tile.sums + int64_t{pixel} * kBlock;
    std::memset(sums, 0, kBlock * sizeof *sums);
    for (int32_t group = 0; group * 16 < tile.channels; ++group) {
      const uint64_t* planes = panel + group * tile.weight_planes * plane_words;
      for (int32_t j = 0; j < tile.activation_planes; ++j) {
        const uint8_t* activation = patch + j * tile.plane_stride;
        if (ternary) {
          add_plane(activation, planes, planes + plane_words, tile.depth, 1 << j, sums + 16 * group);
          continue;
        }
        for (int32_t i = 0; i < tile.weight_planes; ++i) {
          add_plane(activation, planes + i * plane_words, nullptr, tile.depth, 1 << (i + j), sums + 16 * group);
        }
      }
    }
  }
}

}  // namespace

void conv_bits(const ConvTile& tile) { conv_planes(tile, false); }

void conv_ternary(const ConvTile& tile) { conv_planes(tile, true); }

void conv_bytes(const ConvTile& tile) {
  const auto* panel = static_cast<const int8_t*>(tile.panel);
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const uint8_t* patch = tile.patches + pixel * tile.patch_stride;
    int32_t* sums = tile.sums + int64_t{pixel} * kBlock;
    int32_t total = 0;
    for (int32_t k = 0; tile.weight_shift != 0 && k < 4 * tile.depth; ++k) total += patch[k];
    for (int32_t group = 0; group * 16 < tile.channels; ++group) {
      int32_t dots[16] = {0};
      for (int32_t unit = 0; unit < tile.depth; ++unit) {
        const int8_t* weights = panel + (int64_t{group} * tile.depth + unit) * 64;  // (16, 4)
        const uint8_t* u = patch + 4 * unit;
        for (int lane = 0; lane < 16; ++lane) {
          const int8_t* q = weights + 4 * lane;
          dots[lane] += q[0] * u[0] + q[1] * u[1] + q[2] * u[2] + q[3] * u[3];
        }
      }
      for (int lane = 0; lane < 16; ++lane) {
        sums[16 * group + lane] = tile.weight_scale * dots[lane] + tile.weight_shift * total;
      }
    }
  }
}

void conv_depth(const ConvTile& tile) {
  const auto* panel = static_cast<const int8_t*>(tile.panel);
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const auto* taps = reinterpret_cast<const uint8_t* const*>(tile.patches + pixel * tile.patch_stride);
    int32_t* sums = tile.sums + int64_t{pixel} * kBlock;
    std::memset(sums, 0, kBlock * sizeof *sums);
    for (int32_t tap = 0; tap < tile.depth; ++tap) {
      for (int32_t lane = 0; lane < tile.channels; ++lane) {
        const int32_t u = taps[tap][tile.tap_offset + static_cast<size_t>(lane)];
        sums[lane] += (tile.weight_scale * panel[kBlock * tap + lane] + tile.weight_shift) * u;
      }
    }
  }
}

void conv_words(const ConvTile& tile) {
  const auto* panel = static_cast<const int32_t*>(tile.panel);
  const int32_t lanes = (tile.channels + 15) / 16 * 16;
  for (int32_t pixel = 0; pixel < tile.pixels; ++pixel) {
    const uint8_t* patch = tile.patches + pixel * tile.patch_stride;
    uint32_t dots[kBlock] = {0};  // unsigned: wraps, and the true sum fits 32 bits
    for (int32_t k = 0; k < tile.depth; ++k) {
      uint32_t x;
      std::memcpy(&x, patch + 4 * k, sizeof x);
      for (int32_t lane = 0; lane < lanes; ++lane)
        dots[lane] += static_cast<uint32_t>(panel[int64_t{k} * lanes + lane]) * x;
    }
    std::memcpy(tile.sums + int64_t{pixel} * kBlock, dots, sizeof dots);
  }
}

}  // namespace bitlens
