// SPDX-License-Identifier: Apache-2.0
// What must hold of a program before it is planned: every result lies on its declared grid for every input, every sum
// fits.
#include <algorithm>

#include "base/error.h"
#include "program/program.h"

namespace bitlens {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kFormat;
constexpr int64_t kAccumulatorLimit = 0x7ffffffe;  // int32 without the number that stands for "never"
constexpr uint64_t kLargestProduct = uint64_t{1} << 62;

// At most 2^34 weights (a file has 2^31 bytes) times 2^62.
__extension__ typedef __int128 Wide;

struct Range {
  int64_t lo, hi;
};

int64_t clamped(Wide value) {
  constexpr Wide kFar = Wide{1} << 62;
  return static_cast<int64_t>(std::clamp(value, -kFar, kFar));
}

Range conv_range(const Op& op, const char* name, const Grid& x) {
  std::vector<uint32_t> codes(op.weights_per_output());
  const bool padded = op.padded();
  Wide least = 0, most = 0;
  for (uint32_t o = 0; o < op.out_channels; ++o) {
    read_codes(op, o, codes.data());
    Wide lo = op.bias.empty() ? 0 : op.bias[o], hi = lo;
    for (uint32_t code : codes) {
      if (code >= op.weight_grid.levels()) {
        fail(kFormat, "%s: weight codes must be below %lld, not %u", name,
             static_cast<long long>(op.weight_grid.levels()), code);
      }
      const int64_t weight = op.weight_grid.lo + int64_t{op.weight_grid.step} * code;
      int64_t low = weight * x.lo, high = weight * x.hi;
      if (low > high) std::swap(low, high);
      lo += padded ? std::min<int64_t>(low, 0) : low;
      hi += padded ? std::max<int64_t>(high, 0) : high;
    }
    least = o == 0 ? lo : std::min(least, lo);
    most = o == 0 ? hi : std::max(most, hi);
  }
  return {clamped(least), clamped(most)};
}

// The values before the first breakpoint and after each one that the operand can reach; all must be on the grid.
Range steps_range(const Op& op, const TensorInfo& result, const Grid& x) {
  const uint64_t count = op.breakpoint_count;
  Range range{op.values[0], op.values[0]};
  for (uint64_t i = 0; i < op.values.size(); ++i) {
    const int64_t value = op.values[i];
    if (!result.grid.contains(value)) {
      fail(kFormat, "%s: every value must be on its grid [%d, %d] by %d, not %lld", result.name.c_str(), result.grid.lo,
           result.grid.hi, result.grid.step, static_cast<long long>(value));
    }
    const uint64_t row = i / (count + 1), j = i % (count + 1);
    if (j > 0 && op.breakpoints[row * count + j - 1] > std::min(x.hi, kNever - 1)) continue;
    range = {std::min(range.lo, value), std::max(range.hi, value)};
  }
  return range;
}

void check_rescale(const Op& op, const char* name, const Grid& x) {
  const uint64_t reach = static_cast<uint64_t>(std::max(std::abs(int64_t{x.lo}), std::abs(int64_t{x.hi})));
  for (uint32_t row = 0; row < op.rows; ++row) {
    if (op.multiplier[row] == INT32_MIN) {
      fail(kFormat, "%s: multiplier must be below 2^31, not 2147483648", name);
    }
    const auto multiplier = static_cast<uint64_t>(std::abs(int64_t{op.multiplier[row]}));
    const auto addend = static_cast<uint64_t>(op.addend[row]);
    const uint64_t sum = multiplier * reach + (op.addend[row] < 0 ? 0 - addend : addend);  // below 2^62 + 2^63 + 1
    if (sum >= kLargestProduct) {
      fail(kFormat, "%s: m*x + b must stay below 2^62, not reach %llu", name, static_cast<unsigned long long>(sum));
    }
  }
}

// All codes are on the grid; the operand holds numbers of rows.
Range lookup_range(const Op& op, const char* name, const Grid& x) {
  if (x.lo < 0 || int64_t{x.hi} >= int64_t{op.out_channels}) {
    fail(kFormat, "%s: operand must be a row's number, 0 to %u, not [%d, %d]", name, op.out_channels - 1, x.lo, x.hi);
  }
  std::vector<uint32_t> codes(op.weights_per_output());
  for (uint32_t row = 0; row < op.out_channels; ++row) {
    read_codes(op, row, codes.data());
    for (uint32_t code : codes) {
      if (code >= op.weight_grid.levels()) {
        fail(kFormat, "%s: table codes must be below %lld, not %u", name,
             static_cast<long long>(op.weight_grid.levels()), code);
      }
    }
  }
  return {op.weight_grid.lo, op.weight_grid.hi};
}

Range product_range(const Grid& a, const Grid& b) {
  const int64_t corners[] = {int64_t{a.lo} * b.lo, int64_t{a.lo} * b.hi, int64_t{a.hi} * b.lo, int64_t{a.hi} * b.hi};
  const auto [least, most] = std::minmax_element(std::begin(corners), std::end(corners));
  return {*least, *most};
}

Range range_of(const Program& program, const Op& op) {
  const TensorInfo& result = program.tensors[op.result];
  const Grid& x = program.tensors[op.operands[0]].grid;
  Range range{x.lo, x.hi};
  switch (op.opcode) {
    case Opcode::kConv:
      return conv_range(op, result.name.c_str(), x);
    case Opcode::kSteps:
      return steps_range(op, result, x);
    case Opcode::kRescale:
      check_rescale(op, result.name.c_str(), x);
      return {result.grid.lo, result.grid.hi};
    case Opcode::kSumPool: {
      const int64_t taps = int64_t{op.window.kernel_h} * op.window.kernel_w;
      range = {x.lo * taps, x.hi * taps};
      return op.padded() ? Range{std::min<int64_t>(range.lo, 0), std::max<int64_t>(range.hi, 0)} : range;
    }
    case Opcode::kAdd: {
      const Grid& y = program.tensors[op.operands[1]].grid;
      return {int64_t{x.lo} + y.lo, int64_t{x.hi} + y.hi};
    }
    case Opcode::kMultiply:
      return product_range(x, program.tensors[op.operands[1]].grid);
    case Opcode::kLookup:
      return lookup_range(op, result.name.c_str(), x);
    case Opcode::kConcat:
      for (uint32_t operand : op.operands) {
        const Grid& grid = program.tensors[operand].grid;
        range = {std::min<int64_t>(range.lo, grid.lo), std::max<int64_t>(range.hi, grid.hi)};
      }
      return range;
    case Opcode::kUpsample:
      return op.upsampling.fills() ? Range{std::min<int64_t>(range.lo, 0), std::max<int64_t>(range.hi, 0)} : range;
    case Opcode::kMaxPool:
    case Opcode::kFlatten:
    case Opcode::kCrop:
    case Opcode::kSelect:
    case Opcode::kDepthToSpace:
      return range;
  }
  return range;
}

// Ops that only move values keep a common step of 2.
int32_t result_step(const Program& program, const Op& op, int64_t lo) {
  if (!op.only_moves()) return 1;
  for (size_t i = 0; i < op.data_operands(); ++i) {
    const Grid& grid = program.tensors[op.operands[i]].grid;
    if (grid.step != 2 || (grid.lo - lo) % 2 != 0) return 1;
  }
  return 2;
}

void check_op(const Program& program, const Op& op) {
  const TensorInfo& result = program.tensors[op.result];
  const Range range = range_of(program, op);
  if (range.lo < -kAccumulatorLimit || range.hi > kAccumulatorLimit) {
    fail(kFormat, "%s: sums must stay within 32 bits, not reach [%lld, %lld]; use fewer bits or channels",
         result.name.c_str(), static_cast<long long>(range.lo), static_cast<long long>(range.hi));
  }
  if (op.opcode == Opcode::kSteps) return;  // every value has been looked at
  if (op.opcode == Opcode::kLookup) {
    const Grid& table = op.weight_grid;
    if (result.grid.covers(table)) return;
    fail(kFormat, "%s: results in [%d, %d] must be on its grid [%d, %d] by %d", result.name.c_str(), table.lo, table.hi,
         result.grid.lo, result.grid.hi, result.grid.step);
  }
  const Grid reached{static_cast<int32_t>(range.lo), static_cast<int32_t>(range.hi),
                     range.lo == range.hi ? 1 : result_step(program, op, range.lo)};
  if (!result.grid.covers(reached)) {
    fail(kFormat, "%s: results in [%d, %d] must be on its grid [%d, %d] by %d", result.name.c_str(), reached.lo,
         reached.hi, result.grid.lo, result.grid.hi, result.grid.step);
  }
}

void check_input(const TensorInfo& input) {
  if (input.height_multiple < 1 || input.width_multiple < 1) {
    fail(kFormat, "%s: multiples must be at least 1, not (%u, %u)", input.name.c_str(), input.height_multiple,
         input.width_multiple);
  }
  if ((input.shape.height != 0 && input.height_multiple != 1) ||
      (input.shape.width != 0 && input.width_multiple != 1)) {
    fail(kFormat, "%s: a fixed size must have multiple 1, not (%u, %u)", input.name.c_str(), input.height_multiple,
         input.width_multiple);
  }
}

void check_state(const Program& program, const Program::State& state) {
  const TensorInfo& before = program.tensors[state.input];
  const TensorInfo& after = program.tensors[program.outputs[state.output].tensor];
  const char* name = before.name.c_str();
  if (!(before.shape == after.shape) || before.shape.height == 0 || before.shape.width == 0) {
    fail(kFormat, "%s: a state must keep one fixed shape", name);
  }
  if (!before.grid.covers(after.grid)) {
    fail(kFormat, "%s: a state's next integers [%d, %d] by %d must be on its grid [%d, %d] by %d", name, after.grid.lo,
         after.grid.hi, after.grid.step, before.grid.lo, before.grid.hi, before.grid.step);
  }
  const auto channels = static_cast<size_t>(before.shape.channels);
  const auto differ = [channels](const std::vector<float>& a, const std::vector<float>& b, float usual) {
    const auto at = [usual](const std::vector<float>& v, size_t i) {
      return v.empty() ? usual : v[v.size() == 1 ? 0 : i];
    };
    for (size_t i = 0; i < channels; ++i) {
      if (at(a, i) != at(b, i)) return true;
    }
    return false;
  };
  if (differ(before.scale, after.scale, 1)) fail(kFormat, "%s: a state must keep its scale", name);
  if (differ(before.offset, after.offset, 0)) fail(kFormat, "%s: a state must keep its offset", name);
  for (int32_t number : state.initial) {
    if (!before.grid.contains(number)) {
      fail(kFormat, "%s: every initial integer must be on its grid [%d, %d] by %d, not %d", name, before.grid.lo,
           before.grid.hi, before.grid.step, number);
    }
  }
}

void check_states(const Program& program) {
  std::vector<bool> inputs(program.input_count), outputs(program.outputs.size());
  for (const auto& state : program.states) {
    if (inputs[state.input] || outputs[state.output]) {
      fail(kFormat, "program: every state must have an input and an output of its own");
    }
    inputs[state.input] = outputs[state.output] = true;
    check_state(program, state);
  }
  if (!program.states.empty() && program.states.size() == program.input_count) {
    fail(kFormat, "program: must have an input that is no state");
  }
}

}  // namespace

void check_program(const Program& program) {
  if (program.input_count == 0 || program.outputs.empty()) {
    fail(kFormat, "program: must have at least one input and one output");
  }
  for (uint32_t i = 0; i < program.input_count; ++i) check_input(program.tensors[i]);
  for (const Op& op : program.ops) check_op(program, op);
  check_states(program);
}

}  // namespace bitlens
