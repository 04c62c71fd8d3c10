// SPDX-License-Identifier: Apache-2.0
// Every row of load/kernels.inc and pool/kernels.inc: loads undo stores, pools and upsampling equal a slow loop over
// integers.
#include <algorithm>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/load/load.h"
#include "kernels/pool/pool.h"
#include "kernels/upsample/upsample.h"
#include "tests/check.h"

namespace bitlens {
namespace {

struct Grid3 {
  int32_t lo, hi, step;
};

// A tensor with memory and the integers it holds, (pixels, channels).
struct Image {
  AlignedBytes bytes;
  Tensor tensor;
  std::vector<int32_t> values;

  int32_t at(int64_t pixel, int32_t channel) const {
    return values[static_cast<size_t>(pixel * tensor.channels + channel)];
  }
};

Image make_image(Storage storage, const Grid3& grid, int32_t height, int32_t width, int32_t channels, Random* random) {
  Image image;
  Tensor& t = image.tensor;
  t = {nullptr, storage, height, width, channels, grid.lo, grid.hi, grid.step, 1, 0, 0};
  const auto count = static_cast<size_t>(channels);
  t.pixel_stride = storage == Storage::kPlanes ? (count + 7) / 8 : storage == Storage::kBytes ? count : 4 * count;
  while (storage == Storage::kPlanes && (1 << t.planes) <= (grid.hi - grid.lo) / grid.step) ++t.planes;
  t.plane_stride = static_cast<size_t>(t.pixels()) * t.pixel_stride;
  image.bytes.resize(t.plane_stride * static_cast<size_t>(t.planes) + kOverread);
  t.data = image.bytes.data();
  for (int64_t i = 0; i < t.pixels() * channels; ++i) {
    image.values.push_back(
        static_cast<int32_t>(grid.lo + grid.step * random->between(0, (grid.hi - grid.lo) / grid.step)));
  }
  return image;
}

// Writes the values with the portable store epilogues.
void store(Image* image) {
  const Tensor& t = image->tensor;
  const int32_t offset[kBlock] = {0};
  alignas(64) int32_t sums[kBlock];
  for (int64_t pixel = 0; pixel < t.pixels(); ++pixel) {
    for (int32_t channel = 0; channel < t.channels; channel += kBlock) {
      const int32_t channels = std::min(kBlock, t.channels - channel);
      for (int32_t n = 0; n < channels; ++n) sums[n] = image->at(pixel, channel + n);
      const auto at = static_cast<size_t>(channel);
      EpilogueTile tile{};
      tile.sums = sums;
      tile.table = offset;
      tile.out = t.data + static_cast<size_t>(pixel) * t.pixel_stride +
                 (t.storage == Storage::kPlanes  ? at / 8
                  : t.storage == Storage::kBytes ? at
                                                 : 4 * at);
      tile.plane_stride = t.plane_stride;
      tile.pixels = 1;
      tile.channels = channels;
      tile.planes = t.planes;
      tile.scale = 1;
      tile.lo = t.lo;
      tile.step = t.step;
      tile.base = t.base();
      t.storage == Storage::kPlanes  ? epilogue_store_planes(tile)
      : t.storage == Storage::kBytes ? epilogue_store_bytes(tile)
                                     : epilogue_store_words(tile);
    }
  }
}

std::vector<Grid3> grids_of(Storage storage) {
  if (storage == Storage::kPlanes) return {{0, 1, 1}, {-1, 1, 2}, {0, 3, 1}, {-7, 7, 2}, {-8, 7, 1}, {0, 255, 1}};
  if (storage == Storage::kBytes) return {{0, 1, 1}, {0, 255, 1}, {-128, 127, 1}, {-5, -2, 1}, {3, 9, 2}};
  return {{-2147483647 / 2, 2147483647 / 2, 1}};
}

const int32_t kChannels[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 130};

void check_load(const LoadKernel& kernel, Random* random) {
  for (const Grid3& grid : grids_of(kernel.storage)) {
    for (int32_t channels : kChannels) {
      Image image = make_image(kernel.storage, grid, 3, 7, channels, random);
      store(&image);
      for (int round = 0; round < 4; ++round) {
        const auto from = static_cast<int32_t>(round == 0 ? 0 : random->between(0, channels - 1));
        const auto count = static_cast<int32_t>(round == 0 ? std::min(kBlock, channels)
                                                           : random->between(1, std::min(kBlock, channels - from)));
        const int64_t first = random->between(0, 20);
        const auto pixels = static_cast<int32_t>(random->between(1, 21 - first));
        std::vector<int32_t> sums(static_cast<size_t>(pixels) * kBlock + 1, 12345);
        kernel.run({&image.tensor, first, pixels, from, count, sums.data()});
        CHECK(sums.back() == 12345, "%s wrote past its tile", kernel.name);
        for (int32_t p = 0; p < pixels; ++p) {
          for (int32_t n = 0; n < count; ++n) {
            const int32_t got = sums[static_cast<size_t>(p * kBlock + n)], want = image.at(first + p, from + n);
            CHECK(got == want, "%s channels %d + %d of %d: %d, not %d", kernel.name, from, count, channels, got, want);
          }
        }
      }
    }
  }
}

int32_t slow_max(const Image& in, const Window& w, int64_t y, int64_t x, int32_t channel) {
  int32_t best = INT32_MIN;
  for (int64_t row = 0; row < w.kernel_h; ++row) {
    for (int64_t column = 0; column < w.kernel_w; ++column) {
      const int64_t in_y = y * w.stride_h - w.pad_top + row * w.dilation_h;
      const int64_t in_x = x * w.stride_w - w.pad_left + column * w.dilation_w;
      if (in_y < 0 || in_y >= in.tensor.height || in_x < 0 || in_x >= in.tensor.width) continue;
      best = std::max(best, in.at(in_y * in.tensor.width + in_x, channel));
    }
  }
  return best;
}

void check_pool(const PoolKernel& kernel, Random* random) {
  const Window windows[] = {{2, 2, 2, 2, 0, 0, 0, 0, 1, 1},
                            {3, 3, 2, 2, 1, 1, 1, 1, 1, 1},
                            {1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
                            {2, 3, 1, 2, 0, 2, 1, 1, 2, 1},
                            {9, 8, 1, 1, 0, 0, 0, 0, 1, 1}};
  for (const Grid3& grid : grids_of(kernel.storage)) {
    for (int32_t channels : kChannels) {
      for (const Window& w : windows) {
        Image in = make_image(kernel.storage, grid, 9, 8, channels, random);
        store(&in);
        const int32_t height = (9 + w.pad_top + w.pad_bottom - w.dilation_h * (w.kernel_h - 1) - 1) / w.stride_h + 1;
        const int32_t width = (8 + w.pad_left + w.pad_right - w.dilation_w * (w.kernel_w - 1) - 1) / w.stride_w + 1;
        Image out = make_image(kernel.storage, grid, height, width, channels, random);
        const int32_t pixels = height * width, half = pixels / 2;
        if (half > 0) kernel.run({&in.tensor, &out.tensor, &w, 0, half});
        kernel.run({&in.tensor, &out.tensor, &w, half, pixels - half});
        for (int32_t i = 0; i < pixels * channels; ++i) {
          out.values[static_cast<size_t>(i)] =
              slow_max(in, w, i / channels / width, i / channels % width, i % channels);
        }
        AlignedBytes got = out.bytes;
        std::fill(out.bytes.begin(), out.bytes.end(), uint8_t{0});
        store(&out);
        CHECK(got == out.bytes, "%s channels %d grid [%d, %d] kernel %dx%d", kernel.name, channels, grid.lo, grid.hi,
              w.kernel_h, w.kernel_w);
      }
    }
  }
}

// Every code moves to where the header of upsample.h puts it; everything else is 0.
void check_upsample(Storage storage, Random* random) {
  const Upsampling cases[] = {{2, 2, 0, 0, 0, -1, -1}, {3, 2, 1, 0, 0, 0, 0},    {1, 1, 0, 2, 1, 0, 3},
                              {2, 1, 0, -3, 2, 1, -1}, {1, 1, 1, -1, -2, -3, 0}, {2, 3, 1, 5, -7, -6, 1}};
  for (const Grid3& grid : grids_of(storage)) {
    const bool zero = grid.lo <= 0 && grid.hi >= 0 && -grid.lo % grid.step == 0;
    for (int32_t channels : kChannels) {
      for (const Upsampling& u : cases) {
        if (storage == Storage::kPlanes && u.fills() && !zero) continue;
        Image in = make_image(storage, grid, 4, 5, channels, random);
        store(&in);
        const int32_t height = 4 * u.factor_h + u.pad_top + u.pad_bottom,
                      width = 5 * u.factor_w + u.pad_left + u.pad_right;
        Image out = make_image(storage, grid, height, width, channels, random);
        const int32_t pixels = height * width, half = pixels / 2;
        upsample_copy(u, in.tensor, out.tensor, 0, half);
        upsample_copy(u, in.tensor, out.tensor, half, pixels - half);
        for (int32_t i = 0; i < pixels * channels; ++i) {
          const int32_t y = i / channels / width - u.pad_top, x = i / channels % width - u.pad_left;
          const bool inside = y >= 0 && x >= 0 && y < 4 * u.factor_h && x < 5 * u.factor_w;
          const bool hit = inside && (u.repeat == 1 || (y % u.factor_h == 0 && x % u.factor_w == 0));
          out.values[static_cast<size_t>(i)] = hit ? in.at(y / u.factor_h * 5 + x / u.factor_w, i % channels) : 0;
        }
        AlignedBytes got = out.bytes;
        std::fill(out.bytes.begin(), out.bytes.end(), uint8_t{0});
        store(&out);
        CHECK(got == out.bytes, "upsample channels %d grid [%d, %d] factor %dx%d repeat %d", channels, grid.lo, grid.hi,
              u.factor_h, u.factor_w, u.repeat);
      }
    }
  }
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  Random random(5);
  for (int row = 0; row < kLoadKernelCount; ++row) {
    if ((kLoadKernels[row].features & ~cpu_features()) == 0) check_load(kLoadKernels[row], &random);
  }
  for (int row = 0; row < kPoolKernelCount; ++row) {
    if ((kPoolKernels[row].features & ~cpu_features()) == 0) check_pool(kPoolKernels[row], &random);
  }
  for (Storage storage : {Storage::kPlanes, Storage::kBytes, Storage::kWords}) check_upsample(storage, &random);
  return failures == 0 ? 0 : 1;
}
