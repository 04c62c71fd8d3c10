// SPDX-License-Identifier: Apache-2.0
// The gathering of patches against the sentence of gather.h, tap by tap, for random windows, storages and strips.
#include <cstring>
#include <vector>

#include "base/aligned.h"
#include "kernels/conv/gather.h"
#include "kernels/tensor.h"
#include "tests/check.h"

namespace bitlens {
namespace {

// The bytes that patch `p` must hold where they are defined; -1 elsewhere.
std::vector<int> expected_patch(const Gather& g, int64_t p) {
  std::vector<int> patch(g.patch_stride, -1);
  const Window& w = g.window;
  for (int32_t j = 0; j < g.planes; ++j) {
    const size_t plane = static_cast<size_t>(j) * g.patch_plane_stride;
    size_t at = plane;
    for (int32_t row = 0; row < w.kernel_h; ++row) {
      for (int32_t tap = 0; tap < w.kernel_w; ++tap, at += g.tap_bytes) {
        const int64_t y = p / g.out_width * w.stride_h - w.pad_top + int64_t{row} * w.dilation_h;
        const int64_t x = p % g.out_width * w.stride_w - w.pad_left + int64_t{tap} * w.dilation_w;
        const bool inside = y >= 0 && y < g.height && x >= 0 && x < g.width;
        const uint8_t* from = inside ? g.input + static_cast<size_t>(j) * g.plane_stride +
                                           static_cast<size_t>(y * g.width + x) * g.pixel_stride
                                     : g.pad + static_cast<size_t>(j) * g.tap_bytes;
        for (size_t i = 0; i < g.tap_bytes; ++i) patch[at + i] = from[i];
      }
    }
    for (; at < plane + g.patch_plane_stride; ++at) patch[at] = 0;
  }
  return patch;
}

// The pointers of a depthwise kernel lead to the same bytes as plane 0 of the patches.
void check_taps(Gather g, int64_t first, int32_t pixels) {
  g.planes = 1;
  const auto taps = static_cast<size_t>(g.window.kernel_h * g.window.kernel_w);
  g.patch_plane_stride = g.tap_bytes * taps, g.patch_stride = taps * 8;
  AlignedBytes pointers(g.patch_stride * static_cast<size_t>(pixels));
  gather_taps(g, first, pixels, pointers.data());
  for (int32_t p = 0; p < pixels; ++p) {
    const auto* row =
        reinterpret_cast<const uint8_t* const*>(pointers.data() + static_cast<size_t>(p) * g.patch_stride);
    Gather dense = g;
    dense.patch_stride = g.patch_plane_stride;
    const std::vector<int> expected = expected_patch(dense, first + p);
    bool same = true;
    for (size_t i = 0; i < taps * g.tap_bytes; ++i) same = same && row[i / g.tap_bytes][i % g.tap_bytes] == expected[i];
    CHECK(same, "taps of pixel %d of %d", p, pixels);
  }
}

void check_random(Random* random) {
  const auto pick = [random](int64_t lo, int64_t hi) { return static_cast<int32_t>(random->between(lo, hi)); };
  Gather g{};
  Window& w = g.window;
  w = {pick(1, 5), pick(1, 5), pick(1, 3), pick(1, 3), 0, 0, 0, 0, pick(1, 2), pick(1, 2)};
  const int32_t high = (w.kernel_h - 1) * w.dilation_h + 1, wide = (w.kernel_w - 1) * w.dilation_w + 1;
  w.pad_top = pick(0, high - 1), w.pad_bottom = pick(0, high - 1);
  w.pad_left = pick(0, wide - 1), w.pad_right = pick(0, wide - 1);
  g.height = pick(high, high + 9), g.width = pick(wide, wide + 20);
  g.planes = pick(1, 3);
  const int32_t out_height = (g.height + w.pad_top + w.pad_bottom - high) / w.stride_h + 1;
  g.out_width = (g.width + w.pad_left + w.pad_right - wide) / w.stride_w + 1;
  g.tap_bytes = static_cast<size_t>(pick(0, 1) ? pick(1, 12) : pick(1, 140));
  g.pixel_stride = g.tap_bytes + static_cast<size_t>(pick(0, 1) * pick(1, 70));
  g.plane_stride = g.pixel_stride * static_cast<size_t>(g.height * g.width) + 3;
  g.patch_plane_stride = (g.tap_bytes * static_cast<size_t>(w.kernel_h * w.kernel_w) + 7) / 8 * 8;
  g.patch_stride = g.patch_plane_stride * static_cast<size_t>(g.planes);
  AlignedBytes input(g.plane_stride * static_cast<size_t>(g.planes) + kOverread);
  AlignedBytes pad(g.tap_bytes * static_cast<size_t>(g.planes));
  for (uint8_t& byte : input) byte = static_cast<uint8_t>(random->next() >> 20);
  for (uint8_t& byte : pad) byte = static_cast<uint8_t>(random->next() >> 20);
  g.input = input.data();
  g.pad = pad.data();
  const int32_t first = pick(0, out_height * g.out_width - 1);
  const int32_t pixels = pick(1, out_height * g.out_width - first);
  AlignedBytes patches(g.patch_stride * static_cast<size_t>(pixels) + kOverread, 0xEE);
  gather(g, first, pixels, patches.data());
  for (int32_t p = 0; p < pixels; ++p) {
    const std::vector<int> expected = expected_patch(g, first + p);
    bool same = true;
    for (size_t i = 0; i < expected.size(); ++i) {
      same = same && (expected[i] < 0 || expected[i] == patches[static_cast<size_t>(p) * g.patch_stride + i]);
    }
    CHECK(same, "pixel %d of %d: kernel %dx%d stride %d tap %zu planes %d", p, pixels, w.kernel_h, w.kernel_w,
          w.stride_w, g.tap_bytes, g.planes);
  }
  check_taps(g, first, pixels);
}

}  // namespace
}  // namespace bitlens

int main() {
  bitlens::Random random(5);
  for (int i = 0; i < 3000; ++i) bitlens::check_random(&random);
  return bitlens::failures == 0 ? 0 : 1;
}
