// SPDX-License-Identifier: Apache-2.0
#include "program/plan.h"

#include <algorithm>
#include <map>

#include "kernels/load/load.h"
#include "kernels/pool/pool.h"
#include "program/arena.h"
#include "program/blob.h"
#include "program/plan_conv.h"
#include "program/plan_epilogue.h"
#include "program/plan_units.h"

namespace bitlens {
namespace {

constexpr uint64_t kPatchBudget = 16 << 10;  // bytes of gathered patches that stay in half of the L1 cache
constexpr int32_t kStripPixels = 64;         // of steps without patches: a tile of 16 KB
constexpr int32_t kMostStripPixels = 112;

class Planner {
 public:
  Planner(const Program& program, const Target& target)
      : program_(program),
        target_(target),
        shapes_(infer_shapes(program, target)),
        units_(make_units(program, shapes_, target.features)),
        storages_(choose_storages(program, shapes_, units_)),
        blob_(target.memory_limit),
        arena_(target.memory_limit, target.keep) {}

  AlignedBytes plan() {
    // Every input is written before the first step runs, so all of them are born before any conversion.
    for (uint32_t i = 0; i < program_.input_count; ++i) {
      const uint32_t tensor = add_tensor(i, storages_[i].primary);
      inputs_.push_back({blob_.text(program_.tensors[i].name), tensor, program_.tensors[i].rounding, {}, {}});
      add_real(program_.tensors[i], &inputs_.back());
    }
    for (uint32_t i = 0; i < program_.input_count; ++i) convert(i);
    for (const Unit& unit : units_) {
      unit.op->opcode == Opcode::kFlatten ? add_view(unit) : add_unit(unit);
      convert(unit.result);
    }
    for (const auto& output : program_.outputs) {
      const uint32_t tensor = instance(output.tensor, storages_[output.tensor].primary);
      arena_.keep(buffers_[tensor]);
      outputs_.push_back({blob_.text(output.name), tensor, 0, {}, {}});
      add_real(program_.tensors[output.tensor], &outputs_.back());
    }
    for (const auto& state : program_.states) {
      states_.push_back({state.input, state.output, blob_.array(state.initial)});
    }
    return finish();
  }

 private:
  PlanTensor describe(const Grid& grid, const Shape& shape, Storage storage) const {
    PlanTensor t{};
    t.storage = storage;
    t.height = static_cast<int32_t>(shape.height);
    t.width = static_cast<int32_t>(shape.width);
    t.channels = static_cast<int32_t>(shape.channels);
    t.lo = grid.lo;
    t.hi = grid.hi;
    t.step = grid.step;
    t.planes = storage == Storage::kPlanes ? grid.bits() : 1;
    const auto channels = static_cast<uint64_t>(shape.channels);
    t.pixel_stride = storage == Storage::kPlanes  ? (channels + 7) / 8
                     : storage == Storage::kBytes ? channels
                                                  : 4 * channels;
    // height and width below 2^31, a pixel at most 2^22 bytes: divide before multiplying
    const auto pixels = static_cast<uint64_t>(shape.height) * static_cast<uint64_t>(shape.width);
    if (pixels > target_.memory_limit / t.pixel_stride) {
      fail(ErrorCode::kMemory, "program: memory must be at most %llu bytes, not %llu pixels of %llu bytes",
           static_cast<unsigned long long>(target_.memory_limit), static_cast<unsigned long long>(pixels),
           static_cast<unsigned long long>(t.pixel_stride));
    }
    t.plane_stride = (pixels * t.pixel_stride + kOverread + 63) / 64 * 64;
    return t;
  }

  uint32_t add_tensor(uint32_t tensor, Storage storage) {
    PlanTensor t = describe(program_.tensors[tensor].grid, shapes_[tensor], storage);
    t.name = blob_.text(program_.tensors[tensor].name);
    return add_tensor(tensor, t,
                      arena_.add(t.plane_stride * static_cast<uint64_t>(t.planes) + kOverread, steps_.size()));
  }

  uint32_t add_tensor(uint32_t tensor, const PlanTensor& t, uint32_t buffer) {
    const auto number = static_cast<uint32_t>(tensors_.size());
    tensors_.push_back(t);
    buffers_.push_back(buffer);
    instances_.emplace(std::make_pair(tensor, t.storage), number);
    if (tensor >= program_.input_count && t.storage == storages_[tensor].primary) kept_.push_back(number);
    return number;
  }

  uint32_t instance(uint32_t tensor, Storage storage) const { return instances_.at({tensor, storage}); }

  // The other storages that readers of a tensor ask for.
  void convert(uint32_t tensor) {
    const Storages& storages = storages_[tensor];
    for (Storage storage : {Storage::kPlanes, Storage::kBytes, Storage::kWords}) {
      if (!storages.wants(storage) || storage == storages.primary) continue;
      const uint32_t from = instance(tensor, storages.primary);
      add_load(from, add_tensor(tensor, storage), tensor, program_.tensors[tensor].grid);
    }
  }

  void add_load(uint32_t from, uint32_t to, uint32_t tensor, const Grid& grid) {
    PlanStep step{};
    step.name = step.result = blob_.text(program_.tensors[tensor].name);
    step.op = blob_.text("convert");
    step.producer = Producer::kLoad;
    finish_step(&step, nullptr, grid, plain_fold(to), {from}, to);
  }

  Fold plain_fold(uint32_t output) const {
    return {1, std::vector<int64_t>(static_cast<size_t>(tensors_[output].channels))};
  }

  // A flattened tensor is its operand seen as one pixel; another grid makes a conversion of it.
  void add_view(const Unit& unit) {
    const uint32_t operand = unit.op->operands[0];
    const Grid &from = program_.tensors[operand].grid, &to = program_.tensors[unit.result].grid;
    const bool same = from == to;
    const Storage storage = same               ? storages_[unit.result].primary
                            : fits_bytes(from) ? Storage::kBytes
                                               : Storage::kWords;
    const uint32_t source = instance(operand, storage);
    PlanTensor view = describe(from, shapes_[unit.result], storage);
    view.plane_stride = tensors_[source].plane_stride;
    view.name = blob_.text(program_.tensors[unit.result].name);
    if (same) {
      add_tensor(unit.result, view, buffers_[source]);
      return;
    }
    const auto number = static_cast<uint32_t>(tensors_.size());
    tensors_.push_back(view);
    buffers_.push_back(buffers_[source]);
    add_load(number, add_tensor(unit.result, storages_[unit.result].primary), unit.result, to);
  }

  void add_unit(const Unit& unit) {
    const Op& op = *unit.op;
    const uint32_t output = add_tensor(unit.result, storages_[unit.result].primary);
    PlanStep step{};
    step.name = blob_.text(program_.tensors[op.result].name);
    step.result = blob_.text(program_.tensors[unit.result].name);
    const bool fused = unit.final != nullptr && unit.final != &op;
    step.op = blob_.text(opcode_name(op.opcode) + (fused ? std::string("+") + opcode_name(unit.final->opcode) : ""));
    step.window = op.window;
    step.upsampling = op.upsampling;
    step.channels = blob_.array(op.channels);
    step.block = static_cast<int32_t>(op.block);
    if (op.opcode == Opcode::kCrop) {
      const Shape &from = shapes_[op.operands[0]], &to = shapes_[op.result];
      step.upsampling.pad_bottom = static_cast<int32_t>(to.height - from.height);
      step.upsampling.pad_right = static_cast<int32_t>(to.width - from.width);
    }
    if (op.opcode == Opcode::kLookup) step.table = add_table(op);
    step.producer = producer_of(unit);
    std::vector<uint32_t> inputs;
    for (size_t i = 0; i < op.data_operands(); ++i) {
      inputs.push_back(instance(op.operands[i], storages_[op.operands[i]].primary));
    }
    Fold fold = plain_fold(output);
    if (op.opcode == Opcode::kConv) {
      inputs[0] = instance(op.operands[0], unit.choice.storage);
      step.conv.kernel = blob_.text(unit.choice.kernel->name);
      fold = plan_conv(op, unit.choice, tensors_[inputs[0]], shapes_[op.result], &blob_, &step.conv);
      features_ |= unit.choice.kernel->features;
      size_strip(unit, &step);
    }
    if (step.producer == Producer::kPoolSame) {
      inputs[0] = instance(op.operands[0], tensors_[output].storage);
      step.kernel = blob_.text(pool_kernel(tensors_[output].storage));
    }
    if (step.producer == Producer::kUpsampleSame) inputs[0] = instance(op.operands[0], tensors_[output].storage);
    finish_step(&step, unit.final, unit.sums_grid(program_), fold, inputs, output);
  }

  PlanTable add_table(const Op& op) {
    const bool bytes = op.weight_grid.levels() <= 256;
    const uint64_t needed = op.weight_count * (bytes ? 1 : 4);
    if (needed > target_.memory_limit) {
      fail(ErrorCode::kMemory, "program: memory must be at most %llu bytes, not %llu for a table",
           static_cast<unsigned long long>(target_.memory_limit), static_cast<unsigned long long>(needed));
    }
    std::vector<uint32_t> row(op.weights_per_output());
    std::vector<uint8_t> small;
    std::vector<uint32_t> large;
    for (uint32_t number = 0; number < op.out_channels; ++number) {
      read_codes(op, number, row.data());
      if (bytes) {
        small.insert(small.end(), row.begin(), row.end());
      } else {
        large.insert(large.end(), row.begin(), row.end());
      }
    }
    const PlanArray codes = bytes ? blob_.array(small) : blob_.array(large);
    return {codes.offset, bytes ? 1 : 4, op.weight_grid.lo, op.weight_grid.step, 0};
  }

  Producer producer_of(const Unit& unit) const {
    switch (unit.op->opcode) {
      case Opcode::kConv:
        return Producer::kConv;
      case Opcode::kMaxPool:
        return pools_in_place(program_, unit, storages_[unit.result].primary) ? Producer::kPoolSame
                                                                              : Producer::kMaxPool;
      case Opcode::kSumPool:
        return Producer::kSumPool;
      case Opcode::kAdd:
        return Producer::kAdd;
      case Opcode::kConcat:
        return concat_copies(unit) ? Producer::kConcatSame : Producer::kConcat;
      case Opcode::kSelect:
        return Producer::kSelect;
      case Opcode::kDepthToSpace:
        return Producer::kDepthToSpace;
      case Opcode::kMultiply:
        return Producer::kMultiply;
      case Opcode::kLookup:
        return Producer::kLookup;
      case Opcode::kUpsample:
      case Opcode::kCrop:
        return upsamples_in_place(program_, unit) ? Producer::kUpsampleSame : Producer::kUpsample;
      case Opcode::kSteps:
      case Opcode::kRescale:
      case Opcode::kFlatten:
        break;
    }
    return Producer::kLoad;
  }

  // Whether all operands lie in memory exactly as their part of the result does.
  bool concat_copies(const Unit& unit) const {
    if (unit.final != nullptr) return false;
    const Storage storage = storages_[unit.result].primary;
    const Grid& to = program_.tensors[unit.result].grid;
    return std::all_of(unit.op->operands.begin(), unit.op->operands.end(), [&](uint32_t operand) {
      const Grid& from = program_.tensors[operand].grid;
      if (storages_[operand].primary != storage) return false;
      if (storage == Storage::kPlanes) return from == to && shapes_[operand].channels % 8 == 0;
      return storage == Storage::kWords || std::min(from.lo, 0) == std::min(to.lo, 0);
    });
  }

  const char* pool_kernel(Storage storage) {
    for (int row = 0; row < kPoolKernelCount; ++row) {
      const PoolKernel& kernel = kPoolKernels[row];
      if (kernel.storage != storage || (kernel.features & ~target_.features) != 0) continue;
      features_ |= kernel.features;
      return kernel.name;
    }
    return "";
  }

  // As many patches as the budget holds, whole register tiles where possible, and strips of about one length.
  void size_strip(const Unit& unit, PlanStep* step) const {
    const Shape& shape = shapes_[unit.op->result];
    const int64_t pixels = shape.height * shape.width;
    const int64_t tile = unit.choice.kernel->tile_pixels;
    int64_t most = static_cast<int64_t>(kPatchBudget / std::max<uint64_t>(1, step->conv.patch_stride));
    most = std::clamp<int64_t>(most, tile, kMostStripPixels) / tile * tile;
    const int64_t strips = (pixels + most - 1) / most;
    const int64_t even = (pixels + strips - 1) / strips;
    step->strip_pixels = static_cast<int32_t>(std::min(most, (even + tile - 1) / tile * tile));
    const auto units = static_cast<int64_t>(step->conv.depth) * step->conv.weight_planes * step->conv.activation_planes;
    step->work = pixels * shape.channels * std::min<int64_t>(units, INT32_MAX);
  }

  void finish_step(PlanStep* step, const Op* final, const Grid& sums, const Fold& fold,
                   const std::vector<uint32_t>& inputs, uint32_t output) {
    const PlanTensor& out = tensors_[output];
    step->output = output;
    step->inputs = blob_.array(inputs);
    if (step->strip_pixels == 0) step->strip_pixels = kStripPixels;
    const int64_t taps = std::max<int64_t>(1, int64_t{step->window.kernel_h} * step->window.kernel_w);
    if (step->work == 0) step->work = int64_t{out.height} * out.width * out.channels * taps / 8;
    if (!moves_codes(step->producer)) {
      features_ |= plan_epilogue(final, sums, fold, out, target_.features, &blob_, &step->epilogue);
    }
    for (uint32_t input : inputs) arena_.use(buffers_[input], steps_.size());
    arena_.use(buffers_[output], steps_.size());
    const uint64_t tile = static_cast<uint64_t>(step->strip_pixels) * kBlock * 4;
    uint64_t patches = 0;
    if (step->producer == Producer::kConv && step->conv.direct == 0) {
      patches = static_cast<uint64_t>(step->strip_pixels) * step->conv.patch_stride + kOverread;
    }
    scratch_bytes_ = std::max(scratch_bytes_, 2 * tile + (patches + 63) / 64 * 64);
    steps_.push_back(*step);
  }

  void add_real(const TensorInfo& tensor, PlanPort* port) {
    port->scale = blob_.array(tensor.scale);
    port->offset = blob_.array(tensor.offset);
  }

  AlignedBytes finish() {
    const uint64_t arena_bytes = arena_.place(blob_.size() + scratch_bytes_);
    for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].arena_offset = arena_.offset(buffers_[i]);
    PlanHeader header{};
    std::copy(kPlanMagic, kPlanMagic + sizeof kPlanMagic, header.magic);
    header.version = 1;
    header.features = features_;
    header.allowed = target_.features;
    header.unused = 0;
    header.arena_bytes = arena_bytes;
    header.scratch_bytes = scratch_bytes_;
    header.tensors = blob_.array(tensors_);
    header.steps = blob_.array(steps_);
    header.inputs = blob_.array(inputs_);
    header.outputs = blob_.array(outputs_);
    header.states = blob_.array(states_);
    header.kept = blob_.array(kept_);
    header.bytes = blob_.size();
    *blob_.at<PlanHeader>(0) = header;
    return blob_.take();
  }

  const Program& program_;
  const Target& target_;
  std::vector<Shape> shapes_;
  std::vector<Unit> units_;
  std::vector<Storages> storages_;
  Blob blob_;
  ArenaPlan arena_;
  std::vector<PlanTensor> tensors_;
  std::vector<uint32_t> buffers_;  // of each plan tensor
  std::map<std::pair<uint32_t, Storage>, uint32_t> instances_;
  std::vector<PlanStep> steps_;
  std::vector<PlanPort> inputs_, outputs_;
  std::vector<PlanState> states_;
  std::vector<uint32_t> kept_;
  uint64_t scratch_bytes_ = 64;
  uint32_t features_ = 0;
};

}  // namespace

AlignedBytes make_plan(const Program& program, const Target& target) { return Planner(program, target).plan(); }

}  // namespace bitlens
