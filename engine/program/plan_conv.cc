// SPDX-License-Identifier: Apache-2.0
#include "program/plan_conv.h"

#include <algorithm>
#include <cstring>

#include "kernels/conv/packing.h"

namespace bitlens {
namespace {

constexpr int64_t kLargestSum =
    0x7ffffffe;  // kernels' sums stay within +-this, so that limits can mean never and always

bool is_odd_grid(const Grid& g) { return g.step == 2 && g.lo == -g.hi && ((g.hi + 1) & g.hi) == 0 && g.hi > 0; }

bool is_ternary(const Grid& g) { return g.step == 1 && g.lo == -1 && g.hi == 1; }

int64_t taps_of(const Op& op) { return int64_t{op.window.kernel_h} * op.window.kernel_w; }

// The byte that value v of a tensor has.
int64_t byte_of(const Grid& grid, int64_t value) { return value - std::min(grid.lo, 0); }

int64_t largest_byte(const Grid& grid) { return byte_of(grid, std::max(grid.hi, 0)); }

// w = scale * q + shift with q an int8; false where there is none.
bool byte_weights(const Grid& g, int32_t* scale, int32_t* shift) {
  *scale = 1;
  *shift = 0;
  if (g.lo >= -128 && g.hi <= 127) return true;
  if (g.step != 2) return false;
  *scale = 2;
  *shift = g.lo & 1;
  return g.lo - *shift >= -256 && g.hi - *shift <= 254;
}

int64_t largest_weight(const Grid& g, int32_t scale, int32_t shift) {
  return std::max(std::abs((int64_t{g.lo} - shift) / scale), std::abs((int64_t{g.hi} - shift) / scale));
}

// Whether `family` computes this op exactly, and with which traits.
bool can_hold(Family family, const Op& op, const Shape& in, const Grid& x, ConvTraits* traits) {
  const int64_t group_channels = in.channels / op.groups;
  const int64_t taps = taps_of(op);
  const Grid& w = op.weight_grid;
  int32_t scale, shift;
  int64_t largest;
  *traits = {family, 1, 1, 0, 0, 0, static_cast<int32_t>(std::min<int64_t>(kBlock, op.out_channels / op.groups))};
  switch (family) {
    case Family::kBits:
    case Family::kTernary:
      if (!(family == Family::kBits ? is_odd_grid(w) && w.bits() <= 8 : is_ternary(w)) || !fits_planes(x)) return false;
      if (op.padded() && !x.contains(0)) return false;
      if (op.groups > 1 && group_channels % 8 != 0) return false;
      traits->weight_planes = family == Family::kBits ? w.bits() : 2;
      traits->activation_planes = x.bits();
      traits->depth = static_cast<int32_t>((taps * ((group_channels + 7) / 8) + 7) / 8);
      largest = ((int64_t{1} << x.bits()) - 1) * (family == Family::kBits ? (int64_t{1} << w.bits()) - 1 : 1);
      // kernel sums, the folded constant and lo * sum(w) stay far inside 32 bits
      return taps * group_channels < kLargestSum / 8 / std::max<int64_t>(largest, 1) &&
             taps * group_channels * std::max(std::abs(int64_t{x.lo}), int64_t{1}) * w.hi < kLargestSum / 4;
    case Family::kBytes:
    case Family::kDepth:
      if (!fits_bytes(x) || !byte_weights(w, &scale, &shift)) return false;
      if (family == Family::kDepth && (group_channels != 1 || op.out_channels != op.groups || op.groups == 1))
        return false;
      traits->weight_max = static_cast<int32_t>(largest_weight(w, scale, shift));
      traits->activation_max = static_cast<int32_t>(largest_byte(x));
      traits->depth = static_cast<int32_t>(family == Family::kDepth ? taps : (taps * group_channels + 3) / 4);
      // every partial sum fits; the folded base * sum(w) too
      return taps * group_channels <
             kLargestSum / 2 /
                 std::max<int64_t>(1, (int64_t{traits->weight_max} * scale + shift) * traits->activation_max);
    case Family::kWords:
      traits->depth = static_cast<int32_t>(std::min<int64_t>(taps * group_channels, kLargestSum));
      return true;
  }
  return false;
}

Storage storage_of(Family family) {
  switch (family) {
    case Family::kBits:
    case Family::kTernary:
      return Storage::kPlanes;
    case Family::kBytes:
    case Family::kDepth:
      return Storage::kBytes;
    case Family::kWords:
      break;
  }
  return Storage::kWords;
}

// Turns one output channel's codes into a row (packing.h) and returns the constant that `Fold` needs, bias left out.
class RowWriter {
 public:
  RowWriter(const Op& op, const ConvChoice& choice, const PlanTensor& input, const PlanConv& conv)
      : op_(op), choice_(choice), input_(input), conv_(conv) {}

  int64_t write(const std::vector<uint32_t>& codes, uint8_t* row) const {
    switch (choice_.kernel->family) {
      case Family::kBits:
      case Family::kTernary:
        return write_planes(codes, row);
      case Family::kBytes:
      case Family::kDepth:
        return write_bytes(codes, row);
      case Family::kWords:
        break;
    }
    for (size_t k = 0; k < codes.size(); ++k) {
      const auto weight = static_cast<int32_t>(weight_of(codes[k]));
      std::memcpy(row + 4 * k, &weight, sizeof weight);
    }
    return 0;
  }

 private:
  int64_t weight_of(uint32_t code) const { return op_.weight_grid.lo + int64_t{op_.weight_grid.step} * code; }

  // Sets the bits of conv.h's planes. The kernel counts (2^A - 1) too much for every -1 digit of weight 2^i, and works
  // on codes c of the activations x = lo + step * c:   sum w*x = step * (kernel sum - (2^A - 1) * excess) + lo * sum w.
  int64_t write_planes(const std::vector<uint32_t>& codes, uint8_t* row) const {
    const bool ternary = choice_.kernel->family == Family::kTernary;
    const size_t plane_bytes = static_cast<size_t>(conv_.depth) * 8;
    const auto channels = static_cast<size_t>(conv_.group_channels);
    int64_t excess = 0, sum = 0;
    for (size_t k = 0; k < codes.size(); ++k) {
      const size_t byte = k / channels * conv_.tap_bytes + k % channels / 8;
      const auto bit = static_cast<uint8_t>(1u << (k % channels % 8));
      sum += weight_of(codes[k]);
      if (ternary) {
        if (codes[k] == 0) row[byte] |= bit, ++excess;      // w = -1: sign
        if (codes[k] != 1) row[plane_bytes + byte] |= bit;  // w != 0
        continue;
      }
      for (int32_t i = 0; i < conv_.weight_planes; ++i) {
        if (codes[k] >> i & 1) continue;  // digit +1
        row[static_cast<size_t>(i) * plane_bytes + byte] |= bit;
        excess += int64_t{1} << i;
      }
    }
    const int64_t top = (int64_t{1} << conv_.activation_planes) - 1;
    return -input_.step * top * excess + input_.lo * sum;
  }

  // x = u + base, so sum w*x = sum w*u + base * sum w.
  int64_t write_bytes(const std::vector<uint32_t>& codes, uint8_t* row) const {
    int64_t sum = 0;
    for (size_t k = 0; k < codes.size(); ++k) {
      const int64_t weight = weight_of(codes[k]);
      row[k] = static_cast<uint8_t>((weight - choice_.weight_shift) / choice_.weight_scale);
      sum += weight;
    }
    return std::min(input_.lo, 0) * sum;
  }

  const Op& op_;
  const ConvChoice& choice_;
  const PlanTensor& input_;
  const PlanConv& conv_;
};

// The bytes that the integer 0 has in every tap: [planes][tap_bytes].
uint64_t plan_padding(const PlanTensor& input, const PlanConv& conv, Blob* blob) {
  const auto planes = static_cast<uint64_t>(conv.activation_planes);
  const uint64_t offset = blob->reserve(planes * conv.tap_bytes);
  uint8_t* pad = blob->at(offset);
  if (input.storage == Storage::kBytes) {
    std::memset(pad, -std::min(input.lo, 0), conv.tap_bytes);
  } else if (input.storage == Storage::kPlanes) {
    const auto code = static_cast<uint64_t>((0 - int64_t{input.lo}) / input.step);  // of no use without padding
    for (uint64_t p = 0; p < planes; ++p) {
      for (int32_t n = 0; n < conv.group_channels && code >> p & 1; ++n) {
        pad[p * conv.tap_bytes + static_cast<uint64_t>(n) / 8] |= static_cast<uint8_t>(1u << (n % 8));
      }
    }
  }
  return offset;
}

// Patches need no gathering when each is one run of the tensor's bytes and nothing behind a run can be counted.
bool is_direct(const Op& op, const PlanTensor& input, const Shape& out, const PlanConv& conv) {
  const Window& w = op.window;
  if (op.groups > 1 || op.padded()) return false;
  const bool pixel = taps_of(op) == 1 && w.stride_h == 1 && w.stride_w == 1;
  const bool whole = w.kernel_h == input.height && w.kernel_w == input.width && w.dilation_h == 1 &&
                     w.dilation_w == 1 && out.height * out.width == 1;
  if (!pixel && !whole) return false;
  const uint64_t run = conv.tap_bytes * static_cast<uint64_t>(taps_of(op));
  if (conv.family == Family::kBits) return run % 8 == 0;
  if (conv.family == Family::kBytes) return conv.weight_shift == 0 || run % 4 == 0;
  return true;
}

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

void plan_patches(const Op& op, const ConvChoice& choice, const PlanTensor& input, const Shape& out, PlanConv* conv) {
  const auto channels = static_cast<uint64_t>(conv->group_channels);
  const auto taps = static_cast<uint64_t>(taps_of(op));
  const Family family = choice.kernel->family;
  const bool planes = input.storage == Storage::kPlanes;
  conv->tap_bytes = planes ? (channels + 7) / 8 : input.storage == Storage::kWords ? 4 * channels : channels;
  if (family == Family::kDepth) {  // pointers to taps; their padding has all channels and what a last load overreads
    conv->tap_bytes = static_cast<uint64_t>(input.channels) + kBlock;
    conv->depth = static_cast<int32_t>(taps);
    conv->patch_stride = conv->patch_plane_stride = taps * 8;  // on every target
    return;
  }
  const uint64_t unit = planes ? 8 : 4;
  conv->patch_plane_stride = round_up(conv->tap_bytes * taps, unit);
  conv->depth = static_cast<int32_t>(conv->patch_plane_stride / unit);
  conv->patch_stride = round_up(conv->patch_plane_stride * static_cast<uint64_t>(conv->activation_planes), 8);
  conv->direct = is_direct(op, input, out, *conv);
  if (conv->direct != 0) {
    conv->patch_stride = input.pixel_stride;
    conv->patch_plane_stride = input.plane_stride;
  }
}

// Pieces of output channels that share a group and a block.
std::vector<PlanPiece> make_pieces(const Op& op, bool depthwise) {
  std::vector<PlanPiece> pieces;
  const auto outputs = static_cast<int32_t>(op.out_channels);
  const int32_t per_group = depthwise ? outputs : outputs / static_cast<int32_t>(op.groups);
  for (int32_t first = 0; first < outputs;) {
    const int32_t group = first / per_group;
    const int32_t end = std::min({(group + 1) * per_group, (first / kBlock + 1) * kBlock, outputs});
    pieces.push_back({0, first, end - first, group, 0});
    first = end;
  }
  return pieces;
}

}  // namespace

bool fits_planes(const Grid& grid) { return grid.levels() <= 256; }

bool fits_bytes(const Grid& grid) { return int64_t{std::max(grid.hi, 0)} - std::min(grid.lo, 0) <= 255; }

ConvChoice choose_conv(const Op& op, const Shape& in, const Grid& grid, uint32_t features) {
  for (int row = 0; row < kConvKernelCount; ++row) {
    const ConvKernel& kernel = kConvKernels[row];
    ConvTraits traits;
    if ((kernel.features & ~features) != 0 || !can_hold(kernel.family, op, in, grid, &traits)) continue;
    if (!kernel.accepts(traits)) continue;
    ConvChoice choice{&kernel, storage_of(kernel.family), 1, 0};
    if (choice.storage == Storage::kBytes) byte_weights(op.weight_grid, &choice.weight_scale, &choice.weight_shift);
    return choice;
  }
  fail(ErrorCode::kArgument, "conv: no kernel of the list fits");  // the last row takes everything
}

Fold plan_conv(const Op& op, const ConvChoice& choice, const PlanTensor& input, const Shape& out, Blob* blob,
               PlanConv* conv) {
  const Family family = choice.kernel->family;
  conv->family = family;
  conv->group_channels = input.channels / static_cast<int32_t>(op.groups);
  conv->activation_planes = input.planes;
  conv->weight_planes = family == Family::kBits ? op.weight_grid.bits() : family == Family::kTernary ? 2 : 1;
  conv->weight_scale = choice.weight_scale;
  conv->weight_shift = choice.weight_shift;
  plan_patches(op, choice, input, out, conv);
  conv->pad = plan_padding(input, *conv, blob);

  Fold fold{input.storage == Storage::kPlanes ? input.step : 1, std::vector<int64_t>(op.out_channels)};
  std::vector<PlanPiece> pieces = make_pieces(op, family == Family::kDepth);
  std::vector<uint32_t> codes(op.weights_per_output());
  const RowWriter writer(op, choice, input, *conv);
  AlignedBytes rows;
  for (PlanPiece& piece : pieces) {
    const PanelShape shape{family, piece.channels, conv->weight_planes, conv->depth};
    rows.assign(row_bytes(shape) * static_cast<size_t>(piece.channels), 0);
    for (int32_t n = 0; n < piece.channels; ++n) {
      const auto output = static_cast<uint32_t>(piece.first + n);
      read_codes(op, output, codes.data());
      const int64_t constant = writer.write(codes, rows.data() + static_cast<size_t>(n) * row_bytes(shape));
      fold.offset[output] = constant + (op.bias.empty() ? 0 : op.bias[output]);
    }
    piece.panel = blob->reserve(panel_bytes(choice.kernel->packing, shape));
    pack_panel(choice.kernel->packing, shape, rows.data(), blob->at(piece.panel));
  }
  conv->pieces = blob->array(pieces);
  return fold;
}

}  // namespace bitlens
