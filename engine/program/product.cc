// SPDX-License-Identifier: Apache-2.0
#include "program/product.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/aligned.h"
#include "base/error.h"
#include "base/threads.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/gather.h"
#include "kernels/conv/packing.h"
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
    const size_t sets = p_.weights_per_image != 0 ? images : 1;
    input_bytes_ = round_up(plane_bytes() * planes(), kAlignment);
    inputs_.assign(images * input_bytes_ + kOverread, 0);
    panel_bytes_ = panel_bytes(kernel_->packing, shape_of(std::min<size_t>(kBlock, outputs_)));
    panels_.assign(sets * blocks() * panel_bytes_, 0);
    excess_.assign(sets * outputs_, 0);
    pad_.assign(planes() * tap_bytes_, 0);
    parallel_for(p_.images, threads, [&](int64_t image, int) { pack_image(static_cast<size_t>(image)); });
    parallel_for(static_cast<int64_t>(sets * blocks()), threads,
                 [&](int64_t item, int) { pack_weights(static_cast<size_t>(item)); });
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
      if (kernel_->family != Family::kBits && kernel_->family != Family::kBytes) continue;
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

  void pack_image(size_t image) {
    const uint8_t* codes = p_.codes + image * pixels() * channels_;
    uint8_t* to = inputs_.data() + image * input_bytes_;
    if (!bits()) {
      std::memcpy(to, codes, pixels() * channels_);
      return;
    }
    for (size_t pixel = 0; pixel < pixels(); ++pixel, codes += channels_) {
      pack_codes(codes, to + pixel * tap_bytes_, plane_bytes(), p_.code_bits, 0);
    }
  }

  // Bit p of every code, xor `flip`, into plane p.
  void pack_codes(const uint8_t* codes, uint8_t* to, size_t plane, int32_t code_bits, uint8_t flip) const {
    for (size_t first = 0; first < channels_; first += 8) {
      uint64_t eight = 0;
      const size_t count = std::min<size_t>(8, channels_ - first);
      std::memcpy(&eight, codes + first, count);
      const uint64_t flips = (count == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1) & (flip * kOnes);
      eight ^= flips;
      for (int32_t p = 0; p < code_bits; ++p) {  // the lowest bits of eight bytes, side by side
        to[static_cast<size_t>(p) * plane + first / 8] = static_cast<uint8_t>((eight >> p & kOnes) * kGather >> 56);
      }
    }
  }

  void pack_weights(size_t item) {
    const size_t set = item / blocks(), first = item % blocks() * kBlock;
    const size_t rows = std::min<size_t>(kBlock, outputs_ - first), each = taps_ * channels_;
    const PanelShape shape = shape_of(rows);
    AlignedBytes packed(rows * row_bytes(shape), 0);
    const uint8_t* codes = p_.weights + (set * outputs_ + first) * each;
    const auto top = static_cast<uint8_t>((1 << p_.weight_bits) - 1);
    for (size_t n = 0; n < rows; ++n, codes += each) {
      uint8_t* row = packed.data() + n * row_bytes(shape);
      int64_t excess = 0;
      if (bits()) {  // conv.h: a bit is 1 where the digit is -1, that is, where the code's bit is 0
        for (size_t tap = 0; tap < taps_; ++tap) {
          pack_codes(codes + tap * channels_, row + tap * tap_bytes_, patch_plane_, p_.weight_bits, top);
        }
        for (size_t k = 0; k < each; ++k) excess += top - codes[k];
      } else {
        for (size_t k = 0; k < each; ++k) {
          row[k] = static_cast<uint8_t>(p_.weight_bits == 8 ? codes[k] - 128 : 2 * codes[k] - top);
        }
      }
      excess_[set * outputs_ + first + n] = static_cast<int32_t>(excess * ((1 << p_.code_bits) - 1));
    }
    pack_panel(kernel_->packing, shape, packed.data(), panels_.data() + item * panel_bytes_);
  }

  void multiply_strip(size_t image, int64_t first, size_t worker) {
    const auto count = static_cast<int32_t>(std::min(strip_, out_pixels_ - first));
    uint8_t* memory = scratch_.data() + worker * scratch_bytes_;
    auto* tile = reinterpret_cast<int32_t*>(memory);
    uint8_t* patches = memory + static_cast<size_t>(strip_) * kBlock * 4;
    gather({inputs_.data() + image * input_bytes_, tap_bytes_, plane_bytes(), p_.height, p_.width,
            static_cast<int32_t>(planes()), out_width_, window_, tap_bytes_, pad_.data(), patch_stride_, patch_plane_},
           first, count, patches);
    const size_t set = p_.weights_per_image != 0 ? image : 0;
    const bool wide = !bits() && p_.weight_bits == 8;
    for (size_t block = 0; block < blocks(); ++block) {
      const size_t channel = block * kBlock, rows = std::min<size_t>(kBlock, outputs_ - channel);
      kernel_->run({patches, patch_stride_, patch_plane_, panels_.data() + (set * blocks() + block) * panel_bytes_,
                    tile, count, static_cast<int32_t>(rows), depth_, bits() ? p_.weight_bits : 1,
                    static_cast<int32_t>(planes()), wide ? 2 : 1, wide ? 1 : 0, 0});
      const int32_t* excess = excess_.data() + set * outputs_ + channel;
      for (int32_t i = 0; i < count; ++i) {
        int32_t* to = sums_ +
                      (static_cast<size_t>(image) * static_cast<size_t>(out_pixels_) + static_cast<size_t>(first + i)) *
                          outputs_ +
                      channel;
        for (size_t n = 0; n < rows; ++n) to[n] = tile[i * kBlock + static_cast<int32_t>(n)] - (bits() ? excess[n] : 0);
      }
    }
  }

  static constexpr uint64_t kOnes = 0x0101010101010101, kGather = 0x0102040810204080;

  const bitlens_product& p_;
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
  std::vector<int32_t> excess_;
};

}  // namespace

void multiply(const bitlens_product& product, uint32_t features, int threads, int32_t* sums) {
  const bitlens_product& p = product;
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
  if (int64_t{p.height} + p.pad_top + p.pad_bottom < p.kernel_h ||
      int64_t{p.width} + p.pad_left + p.pad_right < p.kernel_w) {
    fail(ErrorCode::kArgument, "product: kernel must fit into the padded image, not %dx%d", p.kernel_h, p.kernel_w);
  }
  const int64_t terms = int64_t{p.kernel_h} * p.kernel_w * p.channels;
  if (terms >= kLargestSum / (((1 << p.code_bits) - 1) * ((1 << p.weight_bits) - 1))) {
    fail(ErrorCode::kArgument, "product: sums must stay below 2^28, not %lld terms of %d by %d bits",
         static_cast<long long>(terms), p.code_bits, p.weight_bits);
  }
  Multiplication(product, features, sums).run(threads);
}

}  // namespace bitlens
