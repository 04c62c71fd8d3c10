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
#include "program/payload.h"
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
constexpr uint8_t kRoundings = 10;
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
      tensor.grid = read_grid(&in);
      tensor.scale = floats("scale");
      tensor.offset = floats("offset");
      tensor.rounding = in.u8();
      if (tensor.rounding >= kRoundings) {
        fail(kFormat, "%s: rounding must be below %u, not %u", tensor.name.c_str(), kRoundings, tensor.rounding);
      }
      add_tensor(std::move(tensor));
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
    TensorInfo result;
    result.name = text();
    const std::string name = result.name;
    read_operands(&op, name.c_str());
    result.grid = read_grid(&in);
    result.scale = floats("scale");
    result.offset = floats("offset");
    const auto channels = static_cast<uint32_t>(program.tensors[op.operands[0]].shape.channels);
    const auto number = static_cast<uint32_t>(payloads.size());
    if (shared) {
      payloads.push_back(owned(op.opcode, name.c_str()));
      const size_t behind = in.at();
      in.go_back(payloads.back().start);
      read_payload(&in, name.c_str(), channels, result.grid, &op);
      if (in.at() != payloads.back().end) {
        fail(kFormat, "%s: the payload of another op must fit to the byte", name.c_str());
      }
      in.go_back(behind);
    } else {
      const size_t begin = in.at();
      read_payload(&in, name.c_str(), channels, result.grid, &op);
      payloads.push_back({op.opcode, begin, in.at(), number});
    }
    uses.push_back(1);
    std::vector<Shape> shapes;
    for (uint32_t operand : op.operands) shapes.push_back(program.tensors[operand].shape);
    result.shape = result_shape(op, name, shapes);
    program.ops.push_back(std::move(op));
    add_tensor(std::move(result));
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
  FileReader reader{Reader(data, size), {}, {}, {}, {}};
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
