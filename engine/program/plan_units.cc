// SPDX-License-Identifier: Apache-2.0
#include "program/plan_units.h"

#include <algorithm>

#include "program/plan_epilogue.h"

namespace bitlens {
namespace {

constexpr ErrorCode kArgument = ErrorCode::kArgument;
constexpr int64_t kLargestSum = 0x7ffffffe;

// One axis of an input: the file's size, or the asked one where the file's is symbolic.
int64_t input_size(const TensorInfo& input, const char* axis, int64_t stored, int64_t asked, uint32_t multiple) {
  if (stored != 0) {
    if (asked != 0 && asked != stored) {
      fail(kArgument, "%s: %s must be %lld, not %lld", input.name.c_str(), axis, static_cast<long long>(stored),
           static_cast<long long>(asked));
    }
    return stored;
  }
  if (asked == 0) {
    fail(kArgument, "%s: %s must be given, a positive multiple of %u: the program leaves its size open",
         input.name.c_str(), axis, multiple);
  }
  if (asked < 0 || asked % multiple != 0) {
    fail(kArgument, "%s: %s must be given as a positive multiple of %u, not %lld", input.name.c_str(), axis, multiple,
         static_cast<long long>(asked));
  }
  return asked;
}

// Windows that begin in the padding must reach the image with one of their taps, or there is no largest value.
void check_pool_axis(const std::string& name, int64_t size, int64_t kernel, int64_t stride, int64_t pad,
                     int64_t dilation) {
  for (int64_t start = -pad; start < 0; start += stride) {
    const int64_t tap = (-start + dilation - 1) / dilation;
    if (tap >= kernel || start + tap * dilation >= size) {
      fail(kArgument, "%s: every window must see a pixel, not padding alone", name.c_str());
    }
  }
}

// Whether sums without their bias still fit 32 bits, so that a table can take the bias in.
bool sums_fit_without_bias(const Op& op, const Grid& sums) {
  if (op.bias.empty()) return true;
  const auto [least, most] = std::minmax_element(op.bias.begin(), op.bias.end());
  return int64_t{sums.lo} - *most >= -kLargestSum && int64_t{sums.hi} - *least <= kLargestSum;
}

// The grid of a convolution decides the scale of its kernel's sums: 2 where bit planes hold every second integer.
int32_t fold_scale(const Program& program, const Unit& unit) {
  const Grid& x = program.tensors[unit.op->operands[0]].grid;
  return unit.choice.storage == Storage::kPlanes ? x.step : 1;
}

bool can_fuse(const Program& program, const Unit& unit, const Op& next) {
  if (next.opcode != Opcode::kSteps && next.opcode != Opcode::kRescale) return false;
  if (unit.op->opcode == Opcode::kFlatten || unit.final != nullptr) return false;
  if (unit.op->opcode != Opcode::kConv) return true;
  const Grid& sums = program.tensors[unit.op->result].grid;
  if (unit.choice.kernel->family == Family::kWords && !sums_fit_without_bias(*unit.op, sums)) return false;
  return next.opcode == Opcode::kSteps || fold_scale(program, unit) == 1 ||
         std::all_of(next.multiplier.begin(), next.multiplier.end(),
                     [](int64_t m) { return 2 * m >= INT32_MIN && 2 * m <= INT32_MAX; });
}

Storage choose_primary(const Storages& storages, bool (*can)(const void*, Storage), const void* context) {
  for (Storage storage : {Storage::kPlanes, Storage::kBytes, Storage::kWords}) {
    if (storages.wants(storage) && can(context, storage)) return storage;
  }
  return can(context, Storage::kBytes) ? Storage::kBytes : Storage::kWords;
}

}  // namespace

std::vector<Shape> infer_shapes(const Program& program, const Target& target) {
  // The asked size is that of inputs which leave theirs open; where none does, it must be the file's.
  const auto is_open = [](const TensorInfo& input) { return input.shape.height == 0 || input.shape.width == 0; };
  const bool any_open = std::any_of(program.tensors.begin(), program.tensors.begin() + program.input_count, is_open);
  std::vector<Shape> shapes;
  for (uint32_t i = 0; i < program.input_count; ++i) {
    const TensorInfo& input = program.tensors[i];
    const bool asked = is_open(input) || !any_open;
    shapes.push_back({input_size(input, "height", input.shape.height, asked ? target.height : 0, input.height_multiple),
                      input_size(input, "width", input.shape.width, asked ? target.width : 0, input.width_multiple),
                      input.shape.channels});
  }
  for (const Op& op : program.ops) {
    const std::string& name = program.tensors[op.result].name;
    std::vector<Shape> operands;
    for (uint32_t operand : op.operands) operands.push_back(shapes[operand]);
    if (op.opcode == Opcode::kMaxPool) {
      const Window& w = op.window;
      check_pool_axis(name, operands[0].height, w.kernel_h, w.stride_h, w.pad_top, w.dilation_h);
      check_pool_axis(name, operands[0].width, w.kernel_w, w.stride_w, w.pad_left, w.dilation_w);
    }
    shapes.push_back(result_shape(op, name, operands));
  }
  return shapes;
}

std::vector<Unit> make_units(const Program& program, const std::vector<Shape>& shapes, uint32_t features) {
  std::vector<int32_t> readers(program.tensors.size());
  std::vector<const Op*> reader(program.tensors.size());
  for (const Op& op : program.ops) {
    for (size_t i = 0; i < op.data_operands(); ++i) ++readers[op.operands[i]], reader[op.operands[i]] = &op;
  }
  for (const auto& output : program.outputs) ++readers[output.tensor], reader[output.tensor] = nullptr;

  std::vector<Unit> units;
  std::vector<bool> taken(program.tensors.size());  // results of ops that end an earlier unit
  for (const Op& op : program.ops) {
    if (taken[op.result]) continue;
    Unit unit{&op, nullptr, op.result, {}};
    const uint32_t operand = op.operands[0];
    if (op.opcode == Opcode::kConv) {
      unit.choice = choose_conv(op, shapes[operand], program.tensors[operand].grid, features);
    }
    if (op.opcode == Opcode::kSteps || op.opcode == Opcode::kRescale) unit.final = &op;
    const Op* next = readers[op.result] == 1 ? reader[op.result] : nullptr;
    if (next != nullptr && can_fuse(program, unit, *next)) {
      unit.final = next;
      unit.result = next->result;
      taken[next->result] = true;
    }
    units.push_back(unit);
  }
  return units;
}

bool pools_in_place(const Program& program, const Unit& unit, Storage storage) {
  return unit.op->opcode == Opcode::kMaxPool && unit.final == nullptr && storage != Storage::kWords &&
         program.tensors[unit.op->operands[0]].grid == program.tensors[unit.result].grid;
}

bool upsamples_in_place(const Program& program, const Unit& unit) {
  const bool moves = unit.op->opcode == Opcode::kUpsample || unit.op->opcode == Opcode::kCrop;
  return moves && unit.final == nullptr &&
         program.tensors[unit.op->operands[0]].grid == program.tensors[unit.result].grid;
}

std::vector<Storages> choose_storages(const Program& program, const std::vector<Shape>& shapes,
                                      const std::vector<Unit>& units) {
  std::vector<Storages> all(program.tensors.size());
  struct Context {
    const Program& program;
    const Unit* unit;
    const Grid& result;
    bool byte_channels;
  };
  const auto can = [](const void* pointer, Storage storage) {
    const auto& c = *static_cast<const Context*>(pointer);
    if (c.unit == nullptr) return can_store(nullptr, c.result, c.result, storage);
    if (storage == Storage::kPlanes && !c.byte_channels) return false;  // a flattened tensor is a view of its operand
    return can_store(c.unit->final, c.unit->sums_grid(c.program), c.result, storage);
  };
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    Storages& result = all[unit->result];
    const uint32_t operand = unit->op->operands[0];
    const Grid &from = program.tensors[operand].grid, &to = program.tensors[unit->result].grid;
    const bool flatten = unit->op->opcode == Opcode::kFlatten;
    const bool view = flatten && from == to;
    const Context context{program, &*unit, to, !view || shapes[operand].channels % 8 == 0};
    result.primary = choose_primary(result, can, &context);
    const auto want = [&](Storage storage) { all[operand].wanted[static_cast<size_t>(storage)] = true; };
    if (unit->op->opcode == Opcode::kConv) want(unit->choice.storage);
    if (pools_in_place(program, *unit, result.primary) || upsamples_in_place(program, *unit) || view) {
      want(result.primary);
    }
    if (flatten && !view) want(fits_bytes(from) ? Storage::kBytes : Storage::kWords);
  }
  for (uint32_t i = 0; i < program.input_count; ++i) {
    const Context context{program, nullptr, program.tensors[i].grid, true};
    all[i].primary = choose_primary(all[i], can, &context);
  }
  return all;
}

}  // namespace bitlens
