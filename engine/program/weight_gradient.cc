// SPDX-License-Identifier: Apache-2.0
#include "program/weight_gradient.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/error.h"
#include "base/threads.h"
#include "kernels/accumulate/accumulate.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/quads.h"
#include "kernels/tensor.h"

namespace bitlens {
namespace {

constexpr size_t kStrip = 28;  // channels of a tile: its sums stay in the L1 cache, a multiple of the kernels' tiles
constexpr int32_t kMostDepth = 192;  // of a call: 32 outputs of a panel, 24 KiB, stay there too
constexpr int32_t kLargestSum = 1 << 28;
constexpr double kMostBytes = int64_t{1} << 48;

class WeightGradient {
 public:
  WeightGradient(const bitlens_weight_gradient& gradient, uint32_t features)
      : p_(gradient), channels_(size(p_.channels)), outputs_(size(p_.outputs)) {
    const int32_t reach = (p_.out_width - 1) * p_.stride_w + p_.kernel_w;   // padded columns that are read
    const int32_t sides = std::max(p_.pad_w, reach - p_.pad_w - p_.width);  // a row's padding serves the next one too
    const int32_t columns = std::max(p_.width + sides, p_.out_width * p_.stride_w);
    phases_h_ = std::min(p_.stride_h, p_.kernel_h);
    phases_w_ = std::min(p_.stride_w, p_.kernel_w);
    pitch_ = (columns + p_.stride_w - 1) / p_.stride_w;
    rows_ = p_.out_height + (p_.kernel_h - 1) / p_.stride_h;
    const int64_t positions = int64_t{p_.out_height - 1} * pitch_ + p_.out_width;
    const int64_t last = int64_t{(p_.kernel_h - 1) / p_.stride_h} * pitch_ + (p_.kernel_w - 1) / p_.stride_w;
    const int64_t plane = std::max(int64_t{rows_} * pitch_, (positions + 3) / 4 * 4 + last);
    check_memory(plane);
    depth_ = static_cast<int32_t>((positions + 3) / 4);
    plane_ = size(plane);
    pieces_ = (depth_ + kMostDepth - 1) / kMostDepth;
    choose(features);
  }

  // Packs both sides.
  void pack(int threads) {
    planes_.assign(size(p_.images) * image_bytes() + kOverread, 0);
    panels_.assign(size(p_.images) * size(blocks()) * block_bytes(), 0);
    parallel_for(p_.images, threads, [&](int64_t image, int) { pack_activations(size(image)); });
    parallel_for(int64_t{p_.images} * blocks(), threads,
                 [&](int64_t item, int) { pack_gradients(size(item) / size(blocks()), size(item) % size(blocks())); });
  }

  // sums (images, taps, channels, outputs)
  void run(int threads, int32_t* sums) {
    const auto taps = int64_t{p_.kernel_h} * p_.kernel_w;
    std::vector<Scratch> scratch(size(threads));
    parallel_for(p_.images * taps * blocks(), threads, [&](int64_t item, int worker) {
      const size_t block = size(item % blocks()), row = size(item / blocks()) * channels_;
      for (size_t c = 0; c < channels_; c += kStrip) {
        const size_t count = std::min(kStrip, channels_ - c);
        const int32_t* tile =
            multiply(size(item / blocks() / taps), block, item / blocks() % taps, c, count, &scratch[size(worker)]);
        for (size_t i = 0; i < count; ++i) {
          std::memcpy(sums + (row + c + i) * outputs_ + block * kBlock, tile + i * kBlock, 4 * lanes_of(block));
        }
      }
    });
  }

  // total (taps, channels, outputs) = sum over images, in their order, of scale times sum
  void run_scaled(int threads, const float* scales, float* total) {
    const auto taps = int64_t{p_.kernel_h} * p_.kernel_w;
    const auto strips = static_cast<int64_t>((channels_ + kStrip - 1) / kStrip);
    std::vector<Scratch> scratch(size(threads));
    parallel_for(taps * strips * blocks(), threads, [&](int64_t item, int worker) {
      const size_t block = size(item % blocks()), c = size(item / blocks() % strips) * kStrip;
      const size_t count = std::min(kStrip, channels_ - c);
      const int64_t tap = item / blocks() / strips;
      double* sum = scratch[size(worker)].total;
      std::fill_n(sum, count * kBlock, 0.0);
      for (int32_t image = 0; image < p_.images; ++image) {
        const int32_t* tile = multiply(size(image), block, tap, c, count, &scratch[size(worker)]);
        accumulate_(tile, count * kBlock, scales[image], sum);
      }
      for (size_t i = 0; i < count; ++i) {
        float* to = total + (size(tap) * channels_ + c + i) * outputs_ + block * kBlock;
        for (size_t n = 0; n < lanes_of(block); ++n) to[n] = static_cast<float>(sum[i * kBlock + n]);
      }
    });
  }

 private:
  struct Scratch {
    alignas(64) int32_t tile[kStrip * kBlock], piece[kStrip * kBlock];
    alignas(64) double total[kStrip * kBlock];
  };

  static size_t size(int64_t value) { return static_cast<size_t>(value); }
  int32_t blocks() const { return (p_.outputs + kBlock - 1) / kBlock; }
  size_t lanes_of(size_t block) const { return std::min<size_t>(kBlock, outputs_ - block * kBlock); }
  size_t image_bytes() const { return size(phases_h_ * phases_w_) * channels_ * plane_; }
  size_t block_bytes() const { return size(depth_) * kBlock * 4; }
  int32_t first_of(int32_t piece) const { return static_cast<int32_t>(int64_t{depth_} * piece / pieces_); }

  // Doubles, for the products might pass 64 bits. Behind it places in the planes of a channel are 32-bit, and the sizes
  // of what is packed 64-bit; a panel is at most 256 bytes for 4 of a plane.
  void check_memory(int64_t plane) const {
    const double channel = double(phases_h_) * phases_w_ * double(plane);
    if (channel > INT32_MAX) {
      fail(ErrorCode::kArgument, "weight gradient: planes of a channel must be below 2^31 bytes, not %.4g", channel);
    }
    const double packed = double(p_.images) * std::max(p_.channels * channel, blocks() * 64. * double(plane));
    if (packed > kMostBytes) {
      fail(ErrorCode::kArgument, "weight gradient: packed codes must be below 2^48 bytes, not %.4g", packed);
    }
  }

  void choose(uint32_t features) {
    for (int row = kAccumulateKernelCount - 1; row >= 0; --row) {
      if ((kAccumulateKernels[row].features & ~features) == 0) accumulate_ = kAccumulateKernels[row].run;
    }
    for (int row = 0; row < kConvKernelCount; ++row) {
      kernel_ = &kConvKernels[row];
      if (kernel_->family != Family::kBytes || kernel_->packing != Packing::kPlain) continue;
      const int32_t largest = p_.gradient_bits == 8 ? 128 : (1 << p_.gradient_bits) - 1;
      const ConvTraits traits{
          Family::kBytes, 1, 1, largest, (1 << p_.activation_bits) - 1, depth_, std::min(kBlock, p_.outputs)};
      if ((kernel_->features & ~features) == 0 && kernel_->accepts(traits)) return;
    }
  }

  const uint8_t* plane_of(size_t image, int64_t tap, size_t channel) const {
    const auto i = static_cast<int32_t>(tap / p_.kernel_w), j = static_cast<int32_t>(tap % p_.kernel_w);
    const size_t phase = size(i % p_.stride_h * phases_w_ + j % p_.stride_w);
    return planes_.data() + image * image_bytes() + (phase * channels_ + channel) * plane_ +
           size(i / p_.stride_h * pitch_ + j / p_.stride_w);
  }

  void pack_activations(size_t image) {
    const uint8_t* codes = p_.activations + image * size(p_.height) * size(p_.width) * channels_;
    for (int32_t phase = 0; phase < phases_h_ * phases_w_; ++phase) {
      const int32_t left = phase % phases_w_ - p_.pad_w;  // the image's column that column 0 of this phase is
      const int32_t first = left < 0 ? (-left + p_.stride_w - 1) / p_.stride_w : 0;
      const int32_t column = first * p_.stride_w + left;
      const int32_t count = std::min(pitch_ - first, (p_.width - column + p_.stride_w - 1) / p_.stride_w);
      for (int32_t row = 0; row < rows_; ++row) {
        const int32_t y = row * p_.stride_h + phase / phases_w_ - p_.pad_h;
        if (y < 0 || y >= p_.height || count <= 0) continue;
        uint8_t* to = planes_.data() + image * image_bytes() + size(phase) * channels_ * plane_;
        transpose_bytes(codes + (size(y) * size(p_.width) + size(column)) * channels_, size(p_.stride_w) * channels_,
                        size(count), channels_, to + size(row * pitch_ + first), plane_);
      }
    }
  }

  // The pieces of depth one after the other, each a panel of its own.
  void pack_gradients(size_t image, size_t block) {
    const size_t lanes = lanes_of(block), groups = (lanes + 15) / 16;
    const uint8_t* codes = p_.gradients + image * size(p_.out_height) * size(p_.out_width) * outputs_ + block * kBlock;
    uint8_t* to = panels_.data() + (image * size(blocks()) + block) * block_bytes();
    const OddBytes odd(p_.gradient_bits);
    for (int32_t piece = 0; piece < pieces_; ++piece) {
      const int32_t start = first_of(piece), end = first_of(piece + 1);
      const size_t group_stride = size(end - start) * 64;
      for (int32_t k = start; k < end; ++k) {
        const uint8_t* rows[4] = {};
        for (int32_t t = 0; t < 4; ++t) {
          const int32_t y = (4 * k + t) / pitch_, x = (4 * k + t) % pitch_;
          if (y < p_.out_height && x < p_.out_width)
            rows[t] = codes + (size(y) * size(p_.out_width) + size(x)) * outputs_;
        }
        pack_quads(rows, odd, lanes, to + size(k - start) * 64, group_stride);
      }
      to += groups * group_stride;
    }
  }

  // The sums of `count` channels of one tap, int32 [count][kBlock].
  const int32_t* multiply(size_t image, size_t block, int64_t tap, size_t channel, size_t count,
                          Scratch* scratch) const {
    const size_t lanes = lanes_of(block), groups = (lanes + 15) / 16;
    const uint8_t* planes = plane_of(image, tap, channel);
    const uint8_t* panel = panels_.data() + (image * size(blocks()) + block) * block_bytes();
    for (int32_t piece = 0; piece < pieces_; ++piece) {
      const int32_t start = first_of(piece), depth = first_of(piece + 1) - start;
      int32_t* to = piece == 0 ? scratch->tile : scratch->piece;
      kernel_->run({planes + 4 * size(start), plane_, 0, panel, to, static_cast<int32_t>(count),
                    static_cast<int32_t>(lanes), depth, 1, 1, p_.gradient_bits == 8 ? 2 : 1, 0, 0});
      panel += groups * size(depth) * 64;
      if (piece > 0) {
        for (size_t k = 0; k < count * kBlock; ++k) scratch->tile[k] += scratch->piece[k];
      }
    }
    if (p_.gradient_bits == 8) add_windows(planes, count, scratch->tile);
    return scratch->tile;
  }

  // Gradients of 8 bits are 2q + 1, so every activation that meets one adds itself once more.
  void add_windows(const uint8_t* planes, size_t count, int32_t* tile) const {
    for (size_t c = 0; c < count; ++c, planes += plane_, tile += kBlock) {
      int32_t sum = 0;
      for (int32_t y = 0; y < p_.out_height; ++y) {
        for (int32_t x = 0; x < p_.out_width; ++x) sum += planes[y * pitch_ + x];
      }
      for (int32_t n = 0; n < kBlock; ++n) tile[n] += sum;
    }
  }

  const bitlens_weight_gradient& p_;
  const size_t channels_, outputs_;
  int32_t phases_h_, phases_w_;
  int32_t pitch_;  // bytes of a row of a plane
  int32_t rows_;   // of a plane
  int32_t depth_;  // groups of four positions
  int32_t pieces_;
  size_t plane_;  // bytes
  const ConvKernel* kernel_ = nullptr;
  AccumulateFunction accumulate_ = nullptr;
  AlignedBytes planes_, panels_;
};

void check_sizes(const bitlens_weight_gradient& p) {
  const char* const name = "weight gradient";
  for (const int32_t size : {p.images, p.height, p.width, p.channels, p.out_height, p.out_width, p.outputs, p.kernel_h,
                             p.kernel_w, p.stride_h, p.stride_w}) {
    if (size < 1) fail(ErrorCode::kArgument, "%s: sizes must be at least 1, not %d", name, size);
  }
  for (const int32_t pad : {p.pad_h, p.pad_w}) {
    if (pad < 0) fail(ErrorCode::kArgument, "%s: padding must be at least 0, not %d", name, pad);
  }
  for (const int32_t bits : {p.activation_bits, p.gradient_bits}) {
    if (bits < 1 || bits > 8) fail(ErrorCode::kArgument, "%s: bits must be 1 to 8, not %d", name, bits);
  }
  const int64_t high = int64_t{p.height} + 2 * int64_t{p.pad_h} - p.kernel_h;
  const int64_t wide = int64_t{p.width} + 2 * int64_t{p.pad_w} - p.kernel_w;
  if (high < 0 || wide < 0) {
    fail(ErrorCode::kArgument, "%s: kernel must fit into the padded image, not %dx%d", name, p.kernel_h, p.kernel_w);
  }
  if (p.out_height != high / p.stride_h + 1 || p.out_width != wide / p.stride_w + 1) {
    fail(ErrorCode::kArgument, "%s: the map of gradients must be %lldx%lld, not %dx%d", name,
         static_cast<long long>(high / p.stride_h + 1), static_cast<long long>(wide / p.stride_w + 1), p.out_height,
         p.out_width);
  }
  const int64_t terms = int64_t{p.out_height} * p.out_width;
  if (terms >= kLargestSum / (((1 << p.activation_bits) - 1) * ((1 << p.gradient_bits) - 1))) {
    fail(ErrorCode::kArgument, "%s: sums must stay below 2^28, not %lld terms of %d by %d bits", name,
         static_cast<long long>(terms), p.activation_bits, p.gradient_bits);
  }
  for (const auto& [side, stride] : {std::pair{high + p.kernel_h, p.stride_h}, {wide + p.kernel_w, p.stride_w}}) {
    if (side + 2 * int64_t{stride} > INT32_MAX) {  // places within a row, rounded up to strides, are 32-bit
      fail(ErrorCode::kArgument, "%s: padded sides plus twice the stride must be below 2^31, not %lld + 2 * %d", name,
           static_cast<long long>(side), stride);
    }
  }
}

}  // namespace

void weight_gradient(const bitlens_weight_gradient& gradient, uint32_t features, int threads, int32_t* sums,
                     const float* scales, float* total) {
  check_sizes(gradient);
  WeightGradient work(gradient, features);
  work.pack(threads);
  if (total != nullptr) {
    work.run_scaled(threads, scales, total);
  } else {
    work.run(threads, sums);
  }
}

}  // namespace bitlens
