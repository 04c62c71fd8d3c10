// SPDX-License-Identifier: Apache-2.0
// The weights, tables and settings of an op in a `.bitlens` file: what stands behind its name, operands and grid.
#include <cstdint>

#include "base/error.h"
#include "program/payload.h"

namespace bitlens {
namespace {

constexpr int64_t kMostTaps = 1 << 15;
constexpr int32_t kMostPad = 1 << 15;

constexpr ErrorCode kFormat = ErrorCode::kFormat;

struct PayloadReader {
  Reader& in;
  const Grid& grid;  // of the op's result

  void read_window(Op* op, const char* name) {
    Window& w = op->window;
    for (int32_t* field : {&w.kernel_h, &w.kernel_w, &w.stride_h, &w.stride_w, &w.pad_top, &w.pad_left, &w.pad_bottom,
                           &w.pad_right, &w.dilation_h, &w.dilation_w}) {
      *field = in.u16();
    }
    if (w.kernel_h < 1 || w.kernel_w < 1 || w.stride_h < 1 || w.stride_w < 1 || w.dilation_h < 1 || w.dilation_w < 1) {
      fail(kFormat, "%s: kernel, stride and dilation must be at least 1 and pads at least 0", name);
    }
    if (int64_t{w.kernel_h} * w.kernel_w > kMostTaps) {
      fail(kFormat, "%s: kernel must have at most %lld taps, not %d x %d", name, static_cast<long long>(kMostTaps),
           w.kernel_h, w.kernel_w);
    }
  }

  void read_select(Op* op, const char* name, uint32_t channels) {
    const uint32_t count = in.u32();
    if (count < 1 || int64_t{count} > kMostChannels) {
      fail(kFormat, "%s: channels must be 1 to %lld, not %u", name, static_cast<long long>(kMostChannels), count);
    }
    Reader numbers(in.take(uint64_t{4} * count), size_t{4} * count);
    for (uint32_t i = 0; i < count; ++i) {
      op->channels.push_back(numbers.u32());
      if (op->channels.back() >= channels) {
        fail(kFormat, "%s: channels must be numbers of 0 to %u, not %u", name, channels - 1, op->channels.back());
      }
    }
  }

  void read_lookup(Op* op, const char* name) {
    op->out_channels = in.u32();
    const uint32_t columns = in.u32();
    if (op->out_channels < 1 || columns < 1 || op->out_channels > kMostChannels || columns > kMostChannels) {
      fail(kFormat, "%s: rows and columns must be 1 to %lld, not %u and %u", name,
           static_cast<long long>(kMostChannels), op->out_channels, columns);
    }
    op->weight_grid = read_grid(&in);
    op->weight_count = uint64_t{op->out_channels} * columns;
    const auto bits = static_cast<uint64_t>(op->weight_grid.bits());
    op->weights = in.take(bits * ((op->weight_count + 7) / 8));
  }

  void read_upsampling(Op* op, const char* name) {
    Upsampling& u = op->upsampling;
    u.factor_h = in.u16();
    u.factor_w = in.u16();
    u.repeat = in.u8();
    if (u.factor_h < 1 || u.factor_w < 1 || u.factor_h > kMostFactor || u.factor_w > kMostFactor || u.repeat > 1) {
      fail(kFormat, "%s: factors must be 1 to %d and repeat 0 or 1, not (%d, %d) and %d", name, kMostFactor, u.factor_h,
           u.factor_w, u.repeat);
    }
    for (int32_t* pad : {&u.pad_top, &u.pad_left, &u.pad_bottom, &u.pad_right}) {
      *pad = in.i32();
      if (*pad < -kMostPad || *pad > kMostPad) {
        fail(kFormat, "%s: pads must be at most %d pixels, not %d", name, kMostPad, *pad);
      }
    }
  }

  void read_conv(Op* op, const char* name, uint32_t channels) {
    read_window(op, name);
    op->groups = in.u32();
    op->out_channels = in.u32();
    if (op->groups < 1 || op->out_channels < 1 || int64_t{op->out_channels} > kMostChannels ||
        channels % op->groups != 0 || op->out_channels % op->groups != 0) {
      fail(kFormat, "%s: groups must divide %u input and %u output channels, not %u", name, channels, op->out_channels,
           op->groups);
    }
    op->weight_grid = read_grid(&in);
    // at most 2^20 * 2^15 * 2^20: fits 64 bits
    const auto taps = static_cast<uint64_t>(op->window.kernel_h) * static_cast<uint64_t>(op->window.kernel_w);
    op->weight_count = uint64_t{op->out_channels} * taps * (channels / op->groups);
    const auto bits = static_cast<uint64_t>(op->weight_grid.bits());
    op->weights = in.take(bits * ((op->weight_count + 7) / 8));
    const uint8_t has_bias = in.u8();
    if (has_bias > 1) fail(kFormat, "%s: has_bias must be 0 or 1, not %u", name, has_bias);
    if (has_bias == 0) return;
    Reader numbers(in.take(uint64_t{4} * op->out_channels), size_t{4} * op->out_channels);
    op->bias.resize(op->out_channels);
    for (int32_t& bias : op->bias) bias = numbers.i32();
  }

  void read_steps(Op* op, const char* name, uint32_t channels) {
    op->rows = in.u32();
    op->breakpoint_count = in.u16();
    const uint8_t width = in.u8();
    const uint8_t kind = in.u8();
    if ((op->rows != 1 && op->rows != channels) || (width != 1 && width != 2 && width != 4) || kind > 2) {
      fail(kFormat, "%s: step tables must have 1 or %u rows, width 1, 2 or 4 and kind 0 to 2, not %u, %u, %u", name,
           channels, op->rows, width, kind);
    }
    const uint64_t count = uint64_t{op->rows} * op->breakpoint_count;
    if (count * width > in.left()) in.take(count * width);  // says so before memory is taken
    const int64_t never = (int64_t{1} << (8 * width - 1)) - 1;
    op->breakpoints.resize(count);
    for (uint64_t i = 0; i < count; ++i) {
      const int64_t breakpoint = in.signed_number(width);
      op->breakpoints[i] = breakpoint == never ? kNever : static_cast<int32_t>(breakpoint);
      if (i % op->breakpoint_count != 0 && op->breakpoints[i] < op->breakpoints[i - 1]) {
        fail(kFormat, "%s: breakpoints must be ascending", name);
      }
    }
    if (kind == 0) return read_regular_values(op, name);
    const uint64_t values = uint64_t{op->rows} * (op->breakpoint_count + uint64_t{1});
    if (kind == 1) {
      if (values * 4 > in.left()) in.take(values * 4);
      op->values.resize(values);
      for (int32_t& value : op->values) value = in.i32();
    } else {
      const int64_t lowest = in.i32();
      const uint8_t* above = in.take(values);
      op->values.resize(values);
      for (uint64_t i = 0; i < values; ++i) op->values[i] = on_grid(lowest + above[i], name);
    }
  }

  int32_t on_grid(int64_t value, const char* name) const {
    if (!grid.contains(value)) {
      fail(kFormat, "%s: every value must be on its grid [%d, %d] by %d, not %lld", name, grid.lo, grid.hi, grid.step,
           static_cast<long long>(value));
    }
    return static_cast<int32_t>(value);
  }

  void read_regular_values(Op* op, const char* name) {
    if (uint64_t{5} * op->rows > in.left()) in.take(uint64_t{5} * op->rows);
    const uint32_t count = op->breakpoint_count;
    for (uint32_t row = 0; row < op->rows; ++row) {
      int64_t value = in.i32();
      const auto slope = static_cast<int8_t>(in.u8());
      if (slope != -2 && slope != -1 && slope != 1 && slope != 2) {
        fail(kFormat, "%s: slopes must be -2, -1, 1 or 2", name);
      }
      for (uint32_t j = 0; j <= count; ++j) {
        if (j > 0 && op->breakpoints[uint64_t{row} * count + j - 1] != kNever) value += slope;
        op->values.push_back(on_grid(value, name));
      }
    }
  }

  void read_rescale(Op* op, const char* name, uint32_t channels) {
    op->rows = in.u32();
    if (op->rows != 1 && op->rows != channels) {
      fail(kFormat, "%s: rescale must have 1 or %u rows, not %u", name, channels, op->rows);
    }
    if (uint64_t{13} * op->rows > in.left()) in.take(uint64_t{13} * op->rows);
    for (uint32_t row = 0; row < op->rows; ++row) {
      op->multiplier.push_back(in.i32());
      op->addend.push_back(in.signed_number(8));
      op->shift.push_back(in.u8());
      if (op->shift.back() > 62) fail(kFormat, "%s: shift must be at most 62, not %u", name, op->shift.back());
    }
  }

  void read(Op* op, const char* name, uint32_t channels) {
    if (op->opcode == Opcode::kConv) read_conv(op, name, channels);
    if (op->opcode == Opcode::kSteps) read_steps(op, name, channels);
    if (op->opcode == Opcode::kRescale) read_rescale(op, name, channels);
    if (op->opcode == Opcode::kMaxPool || op->opcode == Opcode::kSumPool) read_window(op, name);
    if (op->opcode == Opcode::kUpsample) read_upsampling(op, name);
    if (op->opcode == Opcode::kSelect) read_select(op, name, channels);
    if (op->opcode == Opcode::kDepthToSpace) op->block = in.u16();
    if (op->opcode == Opcode::kLookup) read_lookup(op, name);
  }
};

}  // namespace

Grid read_grid(Reader* in) {
  const size_t start = in->at();
  Grid grid;
  grid.lo = in->i32();
  grid.hi = in->i32();
  grid.step = in->u8();
  if ((grid.step != 1 && grid.step != 2) || grid.hi < grid.lo || (int64_t{grid.hi} - grid.lo) % grid.step != 0) {
    fail(kFormat,
         "file: offset %zu: grid: step must be 1 or 2 and hi a whole number of steps above lo, not [%d, %d] by %d",
         start, grid.lo, grid.hi, grid.step);
  }
  return grid;
}

void read_payload(Reader* in, const char* name, uint32_t channels, const Grid& result, Op* op) {
  PayloadReader{*in, result}.read(op, name, channels);
}

}  // namespace bitlens
