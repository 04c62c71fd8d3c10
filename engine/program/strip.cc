// SPDX-License-Identifier: Apache-2.0
#include "program/strip.h"

#include <algorithm>
#include <cstring>

#include "kernels/conv/gather.h"

namespace bitlens {
namespace {

class Strip {
 public:
  explicit Strip(const StripJob& job)
      : job_(job),
        step_(*job.step),
        inputs_(reinterpret_cast<const uint32_t*>(job.plan + step_.inputs.offset)),
        out_((*job.arena)[step_.output]) {
    const size_t tile = static_cast<size_t>(step_.strip_pixels) * kBlock;
    sums_ = reinterpret_cast<int32_t*>(job.scratch);
    second_ = sums_ + tile;
    patches_ = reinterpret_cast<uint8_t*>(second_ + tile);
  }

  void run() {
    for (int32_t block = job_.block_begin; block < job_.block_end; ++block) {
      channel_ = block * kBlock;
      channels_ = std::min(kBlock, out_.channels - channel_);
      produce(block);
      finish(block);
    }
  }

 private:
  const Tensor& input(size_t operand) const { return (*job_.arena)[inputs_[operand]]; }

  void produce(int32_t block) {
    switch (step_.producer) {
      case Producer::kConv:
        return convolve(block);
      case Producer::kLoad:
        return load(input(0), job_.first, job_.pixels, channel_, channels_, sums_);
      case Producer::kAdd:
        return add();
      case Producer::kMultiply:
        return multiply();
      case Producer::kLookup:
        return lookup();
      case Producer::kMaxPool:
        return pool([](int32_t a, int32_t b) { return std::max(a, b); });
      case Producer::kSumPool:
        return pool([](int32_t a, int32_t b) { return a + b; });
      case Producer::kConcat:
        return concat();
      case Producer::kUpsample:
        return upsample();
      case Producer::kSelect:
        return select();
      case Producer::kDepthToSpace:
        return depth_to_space();
      case Producer::kPoolSame:
      case Producer::kConcatSame:
      case Producer::kUpsampleSame:
        return;  // no tiles
    }
  }

  void load(const Tensor& tensor, int64_t first, int32_t pixels, int32_t channel, int32_t channels,
            int32_t* sums) const {
    job_.loads[static_cast<size_t>(tensor.storage)]({&tensor, first, pixels, channel, channels, sums});
  }

  void add() {
    load(input(0), job_.first, job_.pixels, channel_, channels_, sums_);
    load(input(1), job_.first, job_.pixels, channel_, channels_, second_);
    int32_t* __restrict sums = sums_;
    const int32_t* __restrict second = second_;
    for (int32_t p = 0; p < job_.pixels; ++p, sums += kBlock, second += kBlock) {
      for (int32_t n = 0; n < channels_; ++n) sums[n] += second[n];
    }
  }

  // The second operand may be one pixel, which meets all of the first's.
  void multiply() {
    const bool one = input(1).pixels() == 1;
    load(input(0), job_.first, job_.pixels, channel_, channels_, sums_);
    load(input(1), one ? 0 : job_.first, one ? 1 : job_.pixels, channel_, channels_, second_);
    int32_t* __restrict sums = sums_;
    const int32_t* __restrict second = second_;
    for (int32_t p = 0; p < job_.pixels; ++p, sums += kBlock, second += one ? 0 : kBlock) {
      for (int32_t n = 0; n < channels_; ++n) sums[n] *= second[n];
    }
  }

  void lookup() {
    load(input(0), job_.first, job_.pixels, 0, 1, second_);
    if (step_.table.code_bytes == 1) {
      read_rows<uint8_t>();
    } else {
      read_rows<uint32_t>();
    }
  }

  // Row numbers lie in the second tile. Unsigned arithmetic: step * code of a wide grid may pass 31 bits, the sum never
  // does.
  template <typename Code>
  void read_rows() {
    const PlanTable& table = step_.table;
    const auto lo = static_cast<uint32_t>(table.lo), step = static_cast<uint32_t>(table.step);
    const auto* codes = reinterpret_cast<const Code*>(job_.plan + table.codes) + channel_;
    for (int32_t p = 0; p < job_.pixels; ++p) {
      const Code* row = codes + int64_t{second_[p * kBlock]} * out_.channels;
      for (int32_t n = 0; n < channels_; ++n) sums_[p * kBlock + n] = static_cast<int32_t>(lo + step * row[n]);
    }
  }

  // Copies lanes of the second tile to their place in the first.
  void merge(int32_t lane, int32_t channels) {
    for (int32_t p = 0; p < job_.pixels; ++p) {
      std::memcpy(sums_ + p * kBlock + lane, second_ + p * kBlock, static_cast<size_t>(channels) * 4);
    }
  }

  void concat() {
    int32_t begin = 0;  // channel of the result where an operand begins
    for (size_t i = 0; i < step_.inputs.count; ++i) {
      const Tensor& operand = input(i);
      const int32_t from = std::max(begin, channel_), to = std::min(begin + operand.channels, channel_ + channels_);
      if (from < to) {
        const bool whole = from == channel_;
        load(operand, job_.first, job_.pixels, from - begin, to - from, whole ? sums_ : second_);
        if (!whole) merge(from - channel_, to - from);
      }
      begin += operand.channels;
    }
  }

  // Folds the taps inside the image; a sum over none is 0.
  template <typename Combine>
  void pool(Combine combine) {
    const Tensor& in = input(0);
    const Window& w = step_.window;
    for (int32_t p = 0; p < job_.pixels; ++p) {
      int32_t* sums = sums_ + p * kBlock;
      std::memset(sums, 0, kBlock * sizeof *sums);
      const int64_t y = (job_.first + p) / out_.width * w.stride_h - w.pad_top;
      const int64_t x = (job_.first + p) % out_.width * w.stride_w - w.pad_left;
      bool first = true;
      for (int32_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap) {
        const int64_t in_y = y + int64_t{tap / w.kernel_w} * w.dilation_h;
        const int64_t in_x = x + int64_t{tap % w.kernel_w} * w.dilation_w;
        if (in_y < 0 || in_y >= in.height || in_x < 0 || in_x >= in.width) continue;
        load(in, in_y * in.width + in_x, 1, channel_, channels_, first ? sums : second_);
        for (int32_t n = 0; n < channels_ && !first; ++n) sums[n] = combine(sums[n], second_[n]);
        first = false;
      }
    }
  }

  void upsample() {
    const Tensor& in = input(0);
    for (int32_t p = 0; p < job_.pixels; ++p) {
      const int64_t source = upsample_source(step_.upsampling, in, out_, job_.first + p);
      int32_t* sums = sums_ + p * kBlock;
      if (source < 0) {
        std::memset(sums, 0, kBlock * sizeof *sums);
      } else {
        load(in, source, 1, channel_, channels_, sums);
      }
    }
  }

  // Loads every block of the operand that this block of the result takes a channel of, once.
  void select() {
    const Tensor& in = input(0);
    const auto* source = reinterpret_cast<const uint32_t*>(job_.plan + step_.channels.offset) + channel_;
    bool done[kBlock] = {};
    for (int32_t lane = 0; lane < channels_; ++lane) {
      if (done[lane]) continue;
      const int32_t first = static_cast<int32_t>(source[lane]) / kBlock * kBlock;
      load(in, job_.first, job_.pixels, first, std::min(kBlock, in.channels - first), second_);
      for (int32_t n = lane; n < channels_; ++n) {
        const int32_t from = static_cast<int32_t>(source[n]) - first;
        if (from < 0 || from >= kBlock) continue;
        done[n] = true;
        for (int32_t p = 0; p < job_.pixels; ++p) sums_[p * kBlock + n] = second_[p * kBlock + from];
      }
    }
  }

  void depth_to_space() {
    const Tensor& in = input(0);
    const int64_t block = step_.block;
    for (int32_t p = 0; p < job_.pixels; ++p) {
      const int64_t y = (job_.first + p) / out_.width, x = (job_.first + p) % out_.width;
      const int64_t part = y % block * block + x % block;
      load(in, y / block * in.width + x / block, 1, static_cast<int32_t>(part * out_.channels) + channel_, channels_,
           sums_ + p * kBlock);
    }
  }

  // Bytes from pixel 0 of the operand to the first channel of a group.
  size_t slice(const PlanPiece& piece) const {
    const PlanConv& conv = step_.conv;
    const auto channel = static_cast<size_t>(piece.group) * static_cast<size_t>(conv.group_channels);
    const Storage storage = input(0).storage;
    return storage == Storage::kPlanes ? channel / 8 : storage == Storage::kBytes ? channel : 4 * channel;
  }

  void gather_patches(const PlanPiece& piece) {
    const Tensor& in = input(0);
    const PlanConv& conv = step_.conv;
    Gather g{};
    g.input = in.data + slice(piece);
    g.pixel_stride = in.pixel_stride;
    g.plane_stride = in.plane_stride;
    g.height = in.height;
    g.width = in.width;
    g.planes = conv.activation_planes;
    g.out_width = out_.width;
    g.window = step_.window;
    g.tap_bytes = conv.tap_bytes;
    g.pad = job_.plan + conv.pad;
    g.patch_stride = conv.patch_stride;
    g.patch_plane_stride = conv.patch_plane_stride;
    if (conv.family == Family::kDepth) return gather_taps(g, job_.first, job_.pixels, patches_);
    gather(g, job_.first, job_.pixels, patches_);
  }

  void convolve(int32_t block) {
    const PlanConv& conv = step_.conv;
    const auto* pieces = reinterpret_cast<const PlanPiece*>(job_.plan + conv.pieces.offset);
    const auto* end = pieces + conv.pieces.count;
    const auto* piece = std::lower_bound(pieces, end, block * kBlock,
                                         [](const PlanPiece& p, int32_t first) { return p.first < first; });
    for (; piece != end && piece->first < channel_ + channels_; ++piece) {
      if (conv.direct == 0 && gathered_ != piece->group) {
        gather_patches(*piece);
        gathered_ = piece->group;
      }
      const bool whole = piece->first == channel_;
      ConvTile tile{};
      tile.patches = conv.direct == 0 ? patches_ : input(0).data + static_cast<size_t>(job_.first) * conv.patch_stride;
      tile.patch_stride = conv.patch_stride;
      tile.plane_stride = conv.patch_plane_stride;
      tile.panel = job_.plan + piece->panel;
      tile.sums = whole ? sums_ : second_;
      tile.pixels = job_.pixels;
      tile.channels = piece->channels;
      tile.depth = conv.depth;
      tile.weight_planes = conv.weight_planes;
      tile.activation_planes = conv.activation_planes;
      tile.weight_scale = conv.weight_scale;
      tile.weight_shift = conv.weight_shift;
      tile.tap_offset = static_cast<size_t>(piece->first);
      job_.conv(tile);
      if (!whole) merge(piece->first - channel_, piece->channels);
    }
  }

  void finish(int32_t block) {
    const PlanEpilogue& e = step_.epilogue;
    const auto channel = static_cast<size_t>(channel_);
    EpilogueTile tile{};
    tile.sums = sums_;
    tile.table = job_.plan + e.table + static_cast<uint64_t>(block) * e.table_stride;
    tile.out = out_.data + static_cast<size_t>(job_.first) * out_.pixel_stride +
               (out_.storage == Storage::kPlanes  ? channel / 8
                : out_.storage == Storage::kBytes ? channel
                                                  : 4 * channel);
    tile.pixel_stride = out_.pixel_stride;
    tile.plane_stride = out_.plane_stride;
    tile.pixels = job_.pixels;
    tile.channels = channels_;
    tile.levels = e.levels;
    tile.planes = out_.planes;
    tile.scale = e.scale;
    tile.lo = out_.lo;
    tile.hi = out_.hi;
    tile.step = out_.step;
    tile.base = out_.base();
    job_.epilogue(tile);
  }

  const StripJob& job_;
  const PlanStep& step_;
  const uint32_t* inputs_;
  const Tensor& out_;
  int32_t* sums_;
  int32_t* second_;
  uint8_t* patches_;
  int32_t channel_ = 0, channels_ = 0;
  int32_t gathered_ = -1;  // group whose patches lie in scratch
};

}  // namespace

void run_strip(const StripJob& job) { Strip(job).run(); }

}  // namespace bitlens
