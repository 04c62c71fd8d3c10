// SPDX-License-Identifier: Apache-2.0
// Every row of conv/kernels.inc against the portable row of its family, on sizes around the lane edges.
#include <cstring>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/packing.h"
#include "kernels/tensor.h"
#include "tests/check.h"

namespace bitlens {
namespace {

const ConvKernel& portable_of(Family family) {
  for (int row = 0;; ++row) {
    if (kConvKernels[row].family == family && kConvKernels[row].features == 0) return kConvKernels[row];
  }
}

struct Case {
  int32_t pixels, channels, depth, weight_planes, activation_planes;
  int32_t weight_scale, weight_shift, weight_max, activation_max;
};

size_t unit_bytes(Family family) {
  if (family == Family::kDepth) return kBlock;
  return family == Family::kBits || family == Family::kTernary ? 8 : 4;
}

AlignedBytes random_rows(const PanelShape& shape, const Case& c, Random* random) {
  AlignedBytes rows(row_bytes(shape) * static_cast<size_t>(shape.channels));
  for (uint8_t& byte : rows) byte = static_cast<uint8_t>(random->next() >> 20);
  if (shape.family == Family::kBytes || shape.family == Family::kDepth) {
    for (uint8_t& byte : rows)
      byte = static_cast<uint8_t>(random->between(-c.weight_max, c.weight_max < 128 ? c.weight_max : 127));
  }
  if (shape.family == Family::kTernary) {  // a sign needs its nonzero bit
    const size_t words = static_cast<size_t>(shape.depth) * 8;
    for (size_t n = 0; n < static_cast<size_t>(shape.channels); ++n) {
      for (size_t i = 0; i < words; ++i) rows[2 * n * words + i] &= rows[(2 * n + 1) * words + i];
    }
  }
  return rows;
}

// The sums of one row of the list for the same weights and patches.
std::vector<int32_t> run(const ConvKernel& kernel, const PanelShape& shape, const Case& c, const AlignedBytes& rows,
                         const AlignedBytes& patches, size_t patch_stride, size_t plane_stride) {
  AlignedBytes panel(panel_bytes(kernel.packing, shape));
  pack_panel(kernel.packing, shape, rows.data(), panel.data());
  AlignedBytes sums((static_cast<size_t>(c.pixels) * kBlock + 16) * 4, 0xA5);
  ConvTile tile{patches.data(),
                patch_stride,
                plane_stride,
                panel.data(),
                reinterpret_cast<int32_t*>(sums.data()),
                c.pixels,
                c.channels,
                c.depth,
                c.weight_planes,
                c.activation_planes,
                c.weight_scale,
                c.weight_shift,
                0};
  std::vector<const uint8_t*> taps;  // of depthwise kernels, which follow pointers; the channels begin behind them
  if (kernel.family == Family::kDepth) {
    constexpr size_t kOffset = 24;
    for (int32_t p = 0; p < c.pixels; ++p) {
      for (int32_t tap = 0; tap < c.depth; ++tap) {
        taps.push_back(patches.data() + static_cast<size_t>(p) * patch_stride + static_cast<size_t>(tap) * kBlock);
      }
    }
    tile.patches = reinterpret_cast<const uint8_t*>(taps.data());
    tile.patch_stride = static_cast<size_t>(c.depth) * sizeof(uint8_t*);
    tile.tap_offset = kOffset;
  }
  kernel.run(tile);
  for (size_t i = sums.size() - 64; i < sums.size(); ++i) CHECK(sums[i] == 0xA5, "%s wrote past its sums", kernel.name);
  std::vector<int32_t> out;
  for (int32_t p = 0; p < c.pixels; ++p) {
    out.insert(out.end(), tile.sums + p * kBlock, tile.sums + p * kBlock + c.channels);
  }
  return out;
}

void check_case(const ConvKernel& kernel, const Case& c, Random* random) {
  const ConvTraits traits{kernel.family,    c.weight_planes, c.activation_planes, c.weight_max,
                          c.activation_max, c.depth,         c.channels};
  if (!kernel.accepts(traits)) return;
  const PanelShape shape{kernel.family, c.channels, c.weight_planes, c.depth};
  const AlignedBytes rows = random_rows(shape, c, random);
  const size_t plane_stride = unit_bytes(kernel.family) * static_cast<size_t>(c.depth);
  const size_t patch_stride = plane_stride * static_cast<size_t>(c.activation_planes);
  AlignedBytes patches(patch_stride * static_cast<size_t>(c.pixels) + 2 * kOverread);
  for (uint8_t& byte : patches) {
    byte = static_cast<uint8_t>(random->next() >> 20);
    if (kernel.family == Family::kBytes || kernel.family == Family::kDepth) byte = byte % (c.activation_max + 1);
  }
  const auto expected = run(portable_of(kernel.family), shape, c, rows, patches, patch_stride, plane_stride);
  const auto got = run(kernel, shape, c, rows, patches, patch_stride, plane_stride);
  CHECK(expected == got, "%s pixels %d channels %d depth %d planes %d x %d weights %d x + %d max %d activations max %d",
        kernel.name, c.pixels, c.channels, c.depth, c.weight_planes, c.activation_planes, c.weight_scale,
        c.weight_shift, c.weight_max, c.activation_max);
}

const int32_t kPixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 28, 57};
const int32_t kChannels[] = {1, 2, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64};
const int32_t kDepths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 63, 64, 65, 100};

void check_kernel(const ConvKernel& kernel) {
  Random random(7);
  const bool planes = kernel.family == Family::kBits || kernel.family == Family::kTernary;
  const bool bytes = kernel.family == Family::kBytes || kernel.family == Family::kDepth;
  for (int32_t channels : kChannels) {
    for (int32_t depth : kDepths) {
      Case c{kPixels[random.between(0, 13)], channels, depth, 1, 1, 1, 0, 0, 0};
      if (planes) {
        for (int32_t a = 1; a <= 5; ++a) {
          for (int32_t w = 1; w <= (kernel.family == Family::kBits ? 4 : 1); ++w) {
            c.pixels = kPixels[random.between(0, 13)];
            c.weight_planes = kernel.family == Family::kTernary ? 2 : w;
            c.activation_planes = a;
            check_case(kernel, c, &random);
          }
        }
      } else if (bytes) {
        for (int32_t weight_max : {1, 3, 7, 15, 63, 127, 128}) {
          for (int32_t activation_max : {1, 3, 7, 15, 31, 127, 255}) {
            c.pixels = kPixels[random.between(0, 13)];
            c.weight_max = weight_max;
            c.activation_max = activation_max;
            c.weight_scale = static_cast<int32_t>(random.between(1, 2));
            c.weight_shift = c.weight_scale == 2 ? static_cast<int32_t>(random.between(0, 1)) : 0;
            check_case(kernel, c, &random);
          }
        }
      } else {
        check_case(kernel, c, &random);
      }
    }
  }
  for (int32_t pixels : kPixels) {
    const bool ternary = kernel.family == Family::kTernary;
    check_case(kernel, {pixels, 64, 17, ternary ? 2 : 1, planes ? 2 : 1, 1, 0, 7, 255}, &random);
    check_case(kernel, {pixels, 40, 300, ternary ? 2 : 1, 1, 1, 0, 127, 255}, &random);
  }
}

// All sums at the end of their range: every product is the largest there is, for 8 bits and for the limits that rows of
// the list state.
void check_extremes(const ConvKernel& kernel) {
  if (kernel.family != Family::kBytes && kernel.family != Family::kDepth) return;
  constexpr int32_t kLimits[][2] = {{-128, 255}, {127, 255}, {-127, 129}, {127, 129}, {64, 255}, {-93, 11}, {93, 11}};
  for (const auto& [weight, activation] : kLimits) {
    const Case c{9, 64, 600, 1, 1, 1, 0, weight < 0 ? -weight : weight, activation};
    const ConvTraits traits{kernel.family, 1, 1, c.weight_max, activation, c.depth, c.channels};
    if (!kernel.accepts(traits)) continue;
    const PanelShape shape{kernel.family, c.channels, 1, c.depth};
    const AlignedBytes rows(row_bytes(shape) * 64, static_cast<uint8_t>(weight));
    const size_t stride = unit_bytes(kernel.family) * static_cast<size_t>(c.depth);
    const AlignedBytes patches(stride * 9 + 2 * kOverread, static_cast<uint8_t>(activation));
    const int32_t expected = weight * activation * (kernel.family == Family::kBytes ? 4 * c.depth : c.depth);
    for (int32_t sum : run(kernel, shape, c, rows, patches, stride, stride)) {
      CHECK(sum == expected, "%s gives %d, not %d, at the end of the range", kernel.name, sum, expected);
    }
  }
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  const uint32_t features = cpu_features();
  for (int row = 0; row < kConvKernelCount; ++row) {
    const ConvKernel& kernel = kConvKernels[row];
    const bool here = (kernel.features & ~features) == 0;
    std::printf("%s%s\n", kernel.name, here ? "" : ": not on this processor");
    if (!here) continue;
    if (kernel.features != 0) check_kernel(kernel);  // a portable row is the reference itself
    check_extremes(kernel);
  }
  return failures == 0 ? 0 : 1;
}
