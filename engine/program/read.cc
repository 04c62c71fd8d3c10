// SPDX-License-Identifier: Apache-2.0
// The bytes of a `.bitlens` file as a Program. Nothing in the file is believed: every count is compared with the bytes
// that are left before memory is taken for it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unordered_set>

#include "base/crc32.h"
#include "base/error.h"
#include "base/reader.h"
#include "program/program.h"

namespace bitlens {
namespace {

constexpr uint8_t kMagic[8] = {0x89, 'B', 'I', 'T', 'L', 'E', 'N', 'S'};
constexpr uint8_t kIslandsMagic[8] = {0x89, 'B', 'I', 'T', 'I', 'S', 'L', 'E'};  // float islands, for Python
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;
constexpr size_t kLargestFile = 0x7fffffff;
constexpr uint32_t kMostOps = 65535;
constexpr uint32_t kLongestText = 512;
constexpr int64_t kMostTaps = 1 << 15;
constexpr uint8_t kRoundings = 10;
constexpr int32_t kMostPad = 1 << 15;
constexpr uint8_t kShared = 0x80;   // of an opcode: the payload is that of an earlier op
constexpr uint32_t kMostUses = 16;  // of one payload: memory stays within so many times the file

constexpr ErrorCode kFormat = ErrorCode::kFormat;

// Bytes as text, such as "89 42".
std::string hex(const uint8_t* bytes, size_t count) {
  std::string text;
  char digits[4];
  for (size_t i = 0; i < count; ++i) {
    std::snprintf(digits, sizeof digits, i == 0 ? "%02x" : " %02x", bytes[i]);
    text += digits;
  }
  return text;
}

// Where the payload of an op lies in the file.
struct Payload {
  Opcode opcode;
  size_t start, end;
  uint32_t owner;  // the op that it was written for
};

struct FileReader {
  Reader in;
  Program program;
  std::unordered_set<std::string> names;
  std::vector<Payload> payloads;
  std::vector<uint32_t> uses;  // of each op's payload, if it is its own

  std::string text() {
    const size_t start = in.at();
    const uint32_t count = in.u16();
    if (count > kLongestText) {
      fail(kFormat, "file: text at offset %zu must have at most %u bytes, not %u", start, kLongestText, count);
    }
    return in.utf8(count, true);
  }

  Grid grid() {
    const size_t start = in.at();
    Grid grid;
    grid.lo = in.i32();
    grid.hi = in.i32();
    grid.step = in.u8();
    if ((grid.step != 1 && grid.step != 2) || grid.hi < grid.lo || (int64_t{grid.hi} - grid.lo) % grid.step != 0) {
      fail(kFormat,
           "file: offset %zu: grid: step must be 1 or 2 and hi a whole number of steps above lo, not [%d, %d] by %d",
           start, grid.lo, grid.hi, grid.step);
    }
    return grid;
  }

  std::vector<float> floats(const char* what) {
    const size_t start = in.at();
    const uint32_t count = in.u32();
    const uint8_t* bytes = in.take(uint64_t{4} * count);
    std::vector<float> values(count);
    if (count > 0) std::memcpy(values.data(), bytes, uint64_t{4} * count);
    for (float value : values) {
      if (!std::isfinite(value)) fail(kFormat, "file: %s at offset %zu must be finite", what, start);
    }
    return values;
  }

  void add_tensor(TensorInfo tensor) {
    if (tensor.name.empty() || !names.insert(tensor.name).second) {
      fail(kFormat, "file: tensor names must be unique and not empty, not \"%s\"", tensor.name.c_str());
    }
    const int64_t channels = tensor.shape.channels;
    if (channels < 1 || channels > kMostChannels) {
      fail(kFormat, "%s: channels must be 1 to %lld, not %lld", tensor.name.c_str(),
           static_cast<long long>(kMostChannels), static_cast<long long>(channels));
    }
    check_real(tensor, tensor.scale, "scale");
    check_real(tensor, tensor.offset, "offset");
    program.tensors.push_back(std::move(tensor));
  }

  static void check_real(const TensorInfo& tensor, const std::vector<float>& values, const char* what) {
    if (values.size() > 1 && values.size() != static_cast<size_t>(tensor.shape.channels)) {
      fail(kFormat, "%s: %s must be 1 or %lld finite numbers, not %zu", tensor.name.c_str(), what,
           static_cast<long long>(tensor.shape.channels), values.size());
    }
  }

  void read_header(const uint8_t* data, size_t size) {
    const size_t count = std::min(size, sizeof kMagic);
    if (count == sizeof kMagic && std::memcmp(data, kIslandsMagic, sizeof kMagic) == 0) {
      fail(kFormat,
           "file: program must be of integers alone, not have float islands on the host; open it with "
           "bitlens.Session in Python, or compile it without --float-islands");
    }
    if (count < sizeof kMagic || std::memcmp(data, kMagic, sizeof kMagic) != 0) {
      fail(kFormat, "file: the first 8 bytes must be %s (.bitlens), not %s", hex(kMagic, sizeof kMagic).c_str(),
           count == 0 ? "none" : hex(data, count).c_str());
    }
    if (size < kHeaderBytes) fail(kFormat, "file: header must have %zu bytes, not %zu", kHeaderBytes, size);
    in.take(sizeof kMagic);
    const uint32_t version = in.u32();
    if (version != kVersion) {
      fail(kFormat, "file: version must be %u, not %u; use the bitlens release that wrote it", kVersion, version);
    }
    const uint32_t checksum = in.u32();
    const uint64_t length = in.u64();
    if (length != size) {
      fail(kFormat, "file: length must be %llu bytes as its header says, not %zu",
           static_cast<unsigned long long>(length), size);
    }
    if (size > kLargestFile) fail(kFormat, "file: file must be at most %zu bytes, not %zu", kLargestFile, size);
    if (crc32(data + 16, size - 16) != checksum) {
      fail(kFormat, "file: checksum must match the content; the file is damaged");
    }
  }

  void read_metadata() {
    for (uint32_t count = in.u16(); count > 0; --count) {
      text();
      in.utf8(in.u32(), false);
    }
  }

  void read_inputs() {
    program.input_count = in.u16();
    for (uint32_t i = 0; i < program.input_count; ++i) {
      TensorInfo tensor;
      tensor.name = text();
      tensor.shape.height = in.u32();
      tensor.shape.width = in.u32();
      tensor.shape.channels = in.u32();
      const int64_t side = std::max(tensor.shape.height, tensor.shape.width);
      if (side > kMostSide) {
        fail(kFormat, "%s: height and width must be at most %lld, not %lld", tensor.name.c_str(),
             static_cast<long long>(kMostSide), static_cast<long long>(side));
      }
      tensor.height_multiple = in.u32();
      tensor.width_multiple = in.u32();
      tensor.grid = grid();
      tensor.scale = floats("scale");
      tensor.offset = floats("offset");
      tensor.rounding = in.u8();
      if (tensor.rounding >= kRoundings) {
        fail(kFormat, "%s: rounding must be below %u, not %u", tensor.name.c_str(), kRoundings, tensor.rounding);
      }
      add_tensor(std::move(tensor));
    }
  }

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
    op->weight_grid = grid();
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
    op->weight_grid = grid();
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

  // A value of the op being read.
  int32_t on_grid(int64_t value, const char* name) const {
    const Grid& grid = pending.grid;
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

  void read_operands(Op* op, const char* name) {
    const uint8_t count = in.u8();
    const bool pair = op->opcode == Opcode::kAdd || op->opcode == Opcode::kCrop || op->opcode == Opcode::kMultiply;
    const uint8_t least = pair || op->opcode == Opcode::kConcat ? 2 : 1;
    const uint8_t most = op->opcode == Opcode::kConcat ? 255 : least;
    for (uint8_t i = 0; i < count; ++i) {
      op->operands.push_back(in.u32());
      if (op->operands.back() >= program.tensors.size()) {
        fail(kFormat, "%s: operands must be tensor numbers below %zu, not %u", name, program.tensors.size(),
             op->operands.back());
      }
    }
    if (count < least || count > most) {
      fail(kFormat, "%s: %s must have %u to %u operands, not %u", name, opcode_name(op->opcode), least, most, count);
    }
  }

  void read_payload(Op* op, const char* name, uint32_t channels) {
    if (op->opcode == Opcode::kConv) read_conv(op, name, channels);
    if (op->opcode == Opcode::kSteps) read_steps(op, name, channels);
    if (op->opcode == Opcode::kRescale) read_rescale(op, name, channels);
    if (op->opcode == Opcode::kMaxPool || op->opcode == Opcode::kSumPool) read_window(op, name);
    if (op->opcode == Opcode::kUpsample) read_upsampling(op, name);
    if (op->opcode == Opcode::kSelect) read_select(op, name, channels);
    if (op->opcode == Opcode::kDepthToSpace) op->block = in.u16();
    if (op->opcode == Opcode::kLookup) read_lookup(op, name);
  }

  // The payload of the earlier op that the next number names.
  Payload owned(Opcode opcode, const char* name) {
    const uint32_t number = in.u32();
    if (number >= payloads.size() || payloads[number].opcode != opcode) {
      fail(kFormat, "%s: payload must be that of an earlier op of the same kind, not of op %u", name, number);
    }
    if (++uses[payloads[number].owner] > kMostUses) {
      fail(kFormat, "%s: a payload must be of at most %u ops, not more", name, kMostUses);
    }
    return payloads[number];
  }

  TensorInfo pending;  // the result of the op being read

  void read_op() {
    const size_t start = in.at();
    const uint8_t byte = in.u8();
    const bool shared = (byte & kShared) != 0;
    const auto opcode = static_cast<uint8_t>(byte & ~kShared);
    if (opcode < 1 || opcode > kLastOpcode) {
      fail(kFormat, "file: opcode at offset %zu must be 1 to %u, not %u", start, kLastOpcode, opcode);
    }
    Op op;
    op.opcode = static_cast<Opcode>(opcode);
    op.result = static_cast<uint32_t>(program.tensors.size());
    pending = TensorInfo();
    pending.name = text();
    const std::string name = pending.name;
    read_operands(&op, name.c_str());
    pending.grid = grid();
    pending.scale = floats("scale");
    pending.offset = floats("offset");
    const auto channels = static_cast<uint32_t>(program.tensors[op.operands[0]].shape.channels);
    const auto number = static_cast<uint32_t>(payloads.size());
    if (shared) {
      payloads.push_back(owned(op.opcode, name.c_str()));
      const size_t behind = in.at();
      in.go_back(payloads.back().start);
      read_payload(&op, name.c_str(), channels);
      if (in.at() != payloads.back().end) {
        fail(kFormat, "%s: the payload of another op must fit to the byte", name.c_str());
      }
      in.go_back(behind);
    } else {
      const size_t begin = in.at();
      read_payload(&op, name.c_str(), channels);
      payloads.push_back({op.opcode, begin, in.at(), number});
    }
    uses.push_back(1);
    std::vector<Shape> shapes;
    for (uint32_t operand : op.operands) shapes.push_back(program.tensors[operand].shape);
    pending.shape = result_shape(op, name, shapes);
    program.ops.push_back(std::move(op));
    add_tensor(std::move(pending));
  }

  void read_outputs() {
    std::unordered_set<std::string> users;
    std::unordered_set<uint32_t> named;
    for (uint32_t count = in.u16(); count > 0; --count) {
      Program::Output output{text(), in.u32()};
      if (output.tensor >= program.tensors.size()) {
        fail(kFormat, "%s: output must be a tensor number below %zu, not %u", output.name.c_str(),
             program.tensors.size(), output.tensor);
      }
      if (!users.insert(output.name).second || !named.insert(output.tensor).second) {
        fail(kFormat, "program: output names must be unique, not %s", output.name.c_str());
      }
      if (names.count(output.name) != 0 && output.name != program.tensors[output.tensor].name) {
        fail(kFormat, "%s: output must not have the name of another tensor", output.name.c_str());
      }
      program.outputs.push_back(std::move(output));
    }
  }

  void read_states() {
    for (uint32_t left = in.u16(); left > 0; --left) {
      Program::State state{in.u16(), in.u16(), {}};
      const uint32_t count = in.u32();
      if (state.input >= program.input_count || state.output >= program.outputs.size()) {
        fail(kFormat, "file: a state must pair an input below %u with an output below %zu, not %u and %u",
             program.input_count, program.outputs.size(), state.input, state.output);
      }
      const TensorInfo& input = program.tensors[state.input];
      // sides below 2^31 and 2^20 channels: only a product of two needs care
      const int64_t pixels = input.shape.height * input.shape.width;
      const bool small = pixels <= (int64_t{1} << 32);
      if (count != 1 && (!small || int64_t{count} != pixels * input.shape.channels)) {
        fail(kFormat, "%s: a state must have 1 initial integer or one for each of its own, not %u", input.name.c_str(),
             count);
      }
      Reader numbers(in.take(uint64_t{4} * count), size_t{4} * count);
      state.initial.resize(count);
      for (int32_t& number : state.initial) number = numbers.i32();
      program.states.push_back(std::move(state));
    }
  }
};

}  // namespace

Program read_program(const uint8_t* data, size_t size) {
  FileReader reader{Reader(data, size), {}, {}, {}, {}, {}};
  reader.read_header(data, size);
  reader.read_metadata();
  reader.read_inputs();
  const uint32_t count = reader.in.u32();
  if (count > kMostOps) fail(kFormat, "file: ops must be at most %u, not %u", kMostOps, count);
  for (uint32_t i = 0; i < count; ++i) reader.read_op();
  reader.read_outputs();
  reader.read_states();
  if (reader.in.left() > 0) {
    fail(kFormat, "file: must end after the states at offset %zu, not %zu", reader.in.at(), size);
  }
  check_program(reader.program);
  widen_grids(&reader.program);
  return std::move(reader.program);
}

}  // namespace bitlens
