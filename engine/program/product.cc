// SPDX-License-Identifier: Apache-2.0
#include "program/product.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/error.h"
#include "base/threads.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/gather.h"
#include "kernels/conv/packing.h"
#include "kernels/conv/quads.h"
#include "kernels/tensor.h"

namespace bitlens {
namespace {

constexpr size_t kPatchBytes = 1 << 15;  // of a strip: they stay in the L1 cache
constexpr int64_t kLargestSum = 1 << 28;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

class Multiplication {
 public:
  Multiplication(const bitlens_product& product, uint32_t features, int32_t* sums)
      : p_(product),
        taps_(static_cast<size_t>(p_.kernel_h) * static_cast<size_t>(p_.kernel_w)),
        channels_(static_cast<size_t>(p_.channels)),
        outputs_(static_cast<size_t>(p_.outputs)),
        window_{p_.kernel_h, p_.kernel_w,   p_.stride_h,  p_.stride_w, p_.pad_top,
                p_.pad_left, p_.pad_bottom, p_.pad_right, 1,           1},
        out_width_((p_.width + p_.pad_left + p_.pad_right - p_.kernel_w) / p_.stride_w + 1),
        out_pixels_(int64_t{(p_.height + p_.pad_top + p_.pad_bottom - p_.kernel_h) / p_.stride_h + 1} * out_width_),
        sums_(sums) {
    choose(features);
  }

  void run(int threads) {
    const auto images = static_cast<size_t>(p_.images);
    input_bytes_ = round_up(plane_bytes() * planes(), kAlignment);
    inputs_.assign(images * input_bytes_ + kOverread, 0);
    panel_bytes_ = panel_bytes(kernel_->packing, shape_of(std::min<size_t>(kBlock, outputs_)));
    panels_.assign(blocks() * panel_bytes_, 0);
    excess_.assign(outputs_, 0);
    tap_sums_.assign(backward() ? taps_ * outputs_ : 0, 0);
    pad_.assign(planes() * tap_bytes_, 0);
    parallel_for(int64_t{p_.images} * p_.height, threads,
                 [&](int64_t row, int) { pack_row(static_cast<size_t>(row)); });
    parallel_for(static_cast<int64_t>(blocks()), threads, [&](int64_t block, int) {
      backward() ? pack_turned(static_cast<size_t>(block)) : pack_weights(static_cast<size_t>(block));
    });
    const auto tile = static_cast<size_t>(kernel_->tile_pixels);
    strip_ = static_cast<int64_t>(std::clamp<size_t>(kPatchBytes / patch_stride_ / tile, 1, 16) * tile);
    const int64_t strips = (out_pixels_ + strip_ - 1) / strip_;
    scratch_bytes_ = round_up(static_cast<size_t>(strip_) * (kBlock * 4 + patch_stride_) + kOverread, kAlignment);
    scratch_.assign(scratch_bytes_ * static_cast<size_t>(threads), 0);
    parallel_for(p_.images * strips, threads, [&](int64_t item, int worker) {
      multiply_strip(static_cast<size_t>(item / strips), item % strips * strip_, static_cast<size_t>(worker));
    });
  }

 private:
  bool bits() const { return kernel_->family == Family::kBits; }
  bool backward() const { return p_.backward != 0; }
  size_t planes() const { return bits() ? static_cast<size_t>(p_.code_bits) : 1; }
  size_t pixels() const { return static_cast<size_t>(p_.height) * static_cast<size_t>(p_.width); }
  size_t plane_bytes() const { return pixels() * tap_bytes_; }
  size_t blocks() const { return (outputs_ + kBlock - 1) / kBlock; }
  PanelShape shape_of(size_t rows) const {
    return {kernel_->family, static_cast<int32_t>(rows), bits() ? p_.weight_bits : 1, depth_};
  }

  // The first row of the list that holds both sides exactly. Weights of 8 bits are 2q + 1 with q = code - 128.
  void choose(uint32_t features) {
    const int32_t reach = p_.weight_bits == 8 ? 128 : (1 << p_.weight_bits) - 1;
    for (int row = 0; row < kConvKernelCount; ++row) {
      kernel_ = &kConvKernels[row];
      if (kernel_->family != Family::kBytes && (kernel_->family != Family::kBits || backward())) continue;
      if (backward() && kernel_->packing != Packing::kPlain) continue;  // what pack_quads writes
      tap_bytes_ = bits() ? (channels_ + 7) / 8 : channels_;
      const size_t unit = bits() ? 8 : 4;
      patch_plane_ = round_up(tap_bytes_ * taps_, unit);
      patch_stride_ = round_up(patch_plane_ * planes(), 8);
      depth_ = static_cast<int32_t>(patch_plane_ / unit);
      const ConvTraits traits{
          kernel_->family, bits() ? p_.weight_bits : 1, static_cast<int32_t>(planes()), reach, (1 << p_.code_bits) - 1,
          depth_,          std::min(kBlock, p_.outputs)};
      if ((kernel_->features & ~features) == 0 && kernel_->accepts(traits)) return;
    }
  }

  // Row `row` of all images' rows, one image after the other.
  void pack_row(size_t row) {
    const auto height = static_cast<size_t>(p_.height), width = static_cast<size_t>(p_.width);
    const uint8_t* codes = p_.codes + row * width * channels_;
    uint8_t* to = inputs_.data() + row / height * input_bytes_ + row % height * width * tap_bytes_;
    if (!bits()) {
      std::memcpy(to, codes, width * channels_);
      return;
    }
    for (size_t x = 0; x < width; ++x, codes += channels_) {
      pack_codes(codes, to + x * tap_bytes_, plane_bytes(), p_.code_bits, 0);
    }
  }

  // Bit p of every code, xor `flip`, into plane p.
  void pack_codes(const uint8_t* codes, uint8_t* to, size_t plane, int32_t code_bits, uint8_t flip) const {
    const size_t whole = channels_ / 8;
    for (size_t i = 0; i < whole; ++i) {  // a copy of known size is one instruction
      uint64_t eight;
      std::memcpy(&eight, codes + 8 * i, 8);
      pack_eight(eight ^ flip * kOnes, to + i, plane, code_bits);
    }
    if (const size_t rest = channels_ % 8; rest != 0) {
      uint64_t eight = 0;
      std::memcpy(&eight, codes + 8 * whole, rest);
      pack_eight(eight ^ (flip * kOnes & ((uint64_t{1} << (8 * rest)) - 1)), to + whole, plane, code_bits);
    }
  }

  static void pack_eight(uint64_t eight, uint8_t* to, size_t plane, int32_t code_bits) {
    for (int32_t p = 0; p < code_bits; ++p) {  // the lowest bits of eight bytes, side by side
      to[static_cast<size_t>(p) * plane] = static_cast<uint8_t>((eight >> p & kOnes) * kGather >> 56);
    }
  }

  void pack_weights(size_t block) {
    const size_t first = block * kBlock;
    const size_t rows = std::min<size_t>(kBlock, outputs_ - first), each = taps_ * channels_;
    const PanelShape shape = shape_of(rows);
    AlignedBytes packed(rows * row_bytes(shape), 0);
    const uint8_t* codes = p_.weights + first * each;
    const auto top = static_cast<uint8_t>((1 << p_.weight_bits) - 1);
    for (size_t n = 0; n < rows; ++n, codes += each) {
      uint8_t* row = packed.data() + n * row_bytes(shape);
      int64_t excess = 0;
      if (bits()) {  // conv.h: a bit is 1 where the digit is -1, that is, where the code's bit is 0
        for (size_t tap = 0; tap < taps_; ++tap) {
          pack_codes(codes + tap * channels_, row + tap * tap_bytes_, patch_plane_, p_.weight_bits, top);
        }
        uint32_t sum = 0;
        for (size_t k = 0; k < each; ++k) sum += codes[k];
        excess = int64_t{top} * static_cast<int64_t>(each) - sum;
      } else {
        for (size_t k = 0; k < each; ++k) {
          row[k] = static_cast<uint8_t>(p_.weight_bits == 8 ? codes[k] - 128 : 2 * codes[k] - top);
        }
      }
      excess_[first + n] = static_cast<int32_t>(excess * ((1 << p_.code_bits) - 1));  // 0 of bytes
    }
    pack_panel(kernel_->packing, shape, packed.data(), panels_.data() + block * panel_bytes_);
  }

  // Weights as the layer has them: the terms of a sum lie rows apart, the outputs side by side. A gradient is 2c - n:
  // the kernels sum w * c, and n times the weights of the taps that meet one is `excess_`, less the taps at the border.
  void pack_turned(size_t block) {
    const size_t first = block * kBlock, lanes = std::min<size_t>(kBlock, outputs_ - first);
    const size_t group_stride = static_cast<size_t>(depth_) * 64, terms = taps_ * channels_;
    const auto row_of = [&](size_t term) {
      return p_.weights + (term % channels_ * taps_ + (taps_ - 1 - term / channels_)) * outputs_ + first;
    };
    const int32_t most = (1 << p_.code_bits) - 1;
    for (size_t k = 0; k < static_cast<size_t>(depth_); ++k) {
      const uint8_t* rows[4] = {};
      for (size_t t = 0; t < 4 && 4 * k + t < terms; ++t) rows[t] = row_of(4 * k + t);
      pack_quads(rows, OddBytes(p_.weight_bits), lanes, panels_.data() + block * panel_bytes_ + k * 64, group_stride);
    }
    AlignedBytes patch(patch_stride_ + kOverread, 0);  // ones at one tap: the kernel sums its weights
    alignas(64) int32_t tile[kBlock];
    for (size_t tap = 0; tap < taps_; ++tap) {
      std::memset(patch.data() + tap * channels_, 1, channels_);
      run_kernel(patch.data(), block, 1, tile);
      std::memset(patch.data() + tap * channels_, 0, channels_);
      for (size_t n = 0; n < lanes; ++n) {
        tap_sums_[tap * outputs_ + first + n] = most * tile[n];
        excess_[first + n] += most * tile[n];
      }
    }
  }

  // Takes off what the taps of an output pixel have that meet no gradient.
  void at_border(int64_t pixel, size_t first, size_t lanes, int32_t* excess) const {
    const auto top = static_cast<int32_t>(pixel / out_width_) * p_.stride_h - p_.pad_top;
    const auto left = static_cast<int32_t>(pixel % out_width_) * p_.stride_w - p_.pad_left;
    for (int32_t i = 0; i < p_.kernel_h; ++i) {
      for (int32_t j = 0; j < p_.kernel_w; ++j) {
        if (top + i >= 0 && top + i < p_.height && left + j >= 0 && left + j < p_.width) continue;
        const int32_t* sums = tap_sums_.data() + static_cast<size_t>(i * p_.kernel_w + j) * outputs_ + first;
        for (size_t n = 0; n < lanes; ++n) excess[n] -= sums[n];
      }
    }
  }

  void run_kernel(const uint8_t* patches, size_t block, int32_t count, int32_t* tile) const {
    const size_t rows = std::min<size_t>(kBlock, outputs_ - block * kBlock);
    const bool wide = !bits() && p_.weight_bits == 8;
    kernel_->run({patches, patch_stride_, patch_plane_, panels_.data() + block * panel_bytes_, tile, count,
                  static_cast<int32_t>(rows), depth_, bits() ? p_.weight_bits : 1, static_cast<int32_t>(planes()),
                  wide ? 2 : 1, wide ? 1 : 0, 0});
  }

  void multiply_strip(size_t image, int64_t first, size_t worker) {
    const auto count = static_cast<int32_t>(std::min(strip_, out_pixels_ - first));
    uint8_t* memory = scratch_.data() + worker * scratch_bytes_;
    auto* tile = reinterpret_cast<int32_t*>(memory);
    uint8_t* patches = memory + static_cast<size_t>(strip_) * kBlock * 4;
    gather({inputs_.data() + image * input_bytes_, tap_bytes_, plane_bytes(), p_.height, p_.width,
            static_cast<int32_t>(planes()), out_width_, window_, tap_bytes_, pad_.data(), patch_stride_, patch_plane_},
           first, count, patches);
    for (size_t block = 0; block < blocks(); ++block) {
      const size_t channel = block * kBlock, rows = std::min<size_t>(kBlock, outputs_ - channel);
      run_kernel(patches, block, count, tile);
      for (int32_t i = 0; i < count; ++i) {
        int32_t excess[kBlock];
        std::memcpy(excess, excess_.data() + channel, 4 * rows);
        if (backward()) at_border(first + i, channel, rows, excess);
        int32_t* to = sums_ +
                      (static_cast<size_t>(image) * static_cast<size_t>(out_pixels_) + static_cast<size_t>(first + i)) *
                          outputs_ +
                      channel;
        const int32_t* from = tile + i * kBlock;
        for (size_t n = 0; n < rows; ++n) to[n] = (backward() ? 2 * from[n] : from[n]) - excess[n];
      }
    }
  }

  static constexpr uint64_t kOnes = 0x0101010101010101, kGather = 0x0102040810204080;

  const bitlens_product p_;
  const size_t taps_, channels_, outputs_;
  const Window window_;
  const int32_t out_width_;
  const int64_t out_pixels_;
  int32_t* const sums_;
  const ConvKernel* kernel_ = nullptr;
  size_t tap_bytes_ = 0, patch_plane_ = 0, patch_stride_ = 0, input_bytes_ = 0, panel_bytes_ = 0, scratch_bytes_ = 0;
  int32_t depth_ = 0;
  int64_t strip_ = 0;
  AlignedBytes inputs_, panels_, pad_, scratch_;
  std::vector<int32_t> excess_;    // of each output: what the kernels' sums have too much
  std::vector<int32_t> tap_sums_;  // backward: (taps, outputs), the part of each tap in it
};

// Where every output pixel is the product of one input pixel, all images are one high image: a fully connected layer's
// images have one pixel each, and the kernels take several at a time.
bitlens_product in_one(bitlens_product p) {
  const bool alone = p.kernel_h == 1 && p.kernel_w == 1 && p.stride_h == 1 && p.stride_w == 1 && p.pad_top == 0 &&
                     p.pad_left == 0 && p.pad_bottom == 0 && p.pad_right == 0;
  if (alone && p.images <= INT32_MAX / p.height) {
    p.height *= p.images;
    p.images = 1;
  }
  return p;
}

}  // namespace

void multiply(const bitlens_product& product, uint32_t features, int threads, int32_t* sums) {
  const bitlens_product& p = product;
  if (p.backward != 0 && p.backward != 1) {
    fail(ErrorCode::kArgument, "product: backward must be 0 or 1, not %d", p.backward);
  }
  for (const int32_t size :
       {p.images, p.height, p.width, p.channels, p.outputs, p.kernel_h, p.kernel_w, p.stride_h, p.stride_w}) {
    if (size < 1) fail(ErrorCode::kArgument, "product: sizes must be at least 1, not %d", size);
  }
  for (const int32_t pad : {p.pad_top, p.pad_left, p.pad_bottom, p.pad_right}) {
    if (pad < 0) fail(ErrorCode::kArgument, "product: padding must be at least 0, not %d", pad);
  }
  for (const int32_t bits : {p.code_bits, p.weight_bits}) {
    if (bits < 1 || bits > 8) fail(ErrorCode::kArgument, "product: bits must be 1 to 8, not %d", bits);
  }
  const int64_t high = int64_t{p.height} + p.pad_top + p.pad_bottom;
  const int64_t wide = int64_t{p.width} + p.pad_left + p.pad_right;
  if (high < p.kernel_h || wide < p.kernel_w) {
    fail(ErrorCode::kArgument, "product: kernel must fit into the padded image, not %dx%d", p.kernel_h, p.kernel_w);
  }
  for (const auto& [side, stride] : {std::pair{high, p.stride_h}, {wide, p.stride_w}}) {
    if (side + 2 * int64_t{stride} > INT32_MAX) {  // places within a padded image are 32-bit
      fail(ErrorCode::kArgument, "product: padded sides plus twice the stride must be below 2^31, not %lld + 2 * %d",
           static_cast<long long>(side), stride);
    }
  }
  const int64_t terms = int64_t{p.kernel_h} * p.kernel_w * p.channels;
  if (terms >= kLargestSum / (((1 << p.code_bits) - 1) * ((1 << p.weight_bits) - 1))) {
    fail(ErrorCode::kArgument, "product: sums must stay below 2^28, not %lld terms of %d by %d bits",
         static_cast<long long>(terms), p.code_bits, p.weight_bits);
  }
  Multiplication(in_one(product), features, sums).run(threads);
}

}  // namespace bitlens
