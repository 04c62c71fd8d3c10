// SPDX-License-Identifier: Apache-2.0
// A plan: one program, for one target and one image size, as bytes that need no pointers.
//
//   AlignedBytes bytes = make_plan(program, target);   // pure; any host plans for any target
//   Runner runner(bytes...);                           // execute.h
//
// A plan is a list of steps. But for kPoolSame, kConcatSame and kUpsampleSame, which move codes as they lie, each step
// produces tiles of int32 sums (convolution, load, addition, pooling, concatenation) and ends them in an epilogue that
// requantizes and stores (kernels/epilogue), so `steps` and `rescale` whose operand has no other reader cost no pass
// over memory. Every tensor has a storage and a place in the arena; weights lie packed for their kernel. All offsets
// count from the first byte of the plan, which is 64-byte aligned.
#ifndef BITLENS_PROGRAM_PLAN_H_
#define BITLENS_PROGRAM_PLAN_H_

#include <cstdint>

#include "base/aligned.h"
#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/tensor.h"
#include "kernels/window.h"
#include "program/program.h"

namespace bitlens {

constexpr uint64_t kMostMemory = uint64_t{4} << 30;  // so that an offset within a tensor fits 32 bits (gather.cc)

// What to plan for.
struct Target {
  uint32_t features = 0;          // Feature bits that kernels may use
  int32_t height = 0, width = 0;  // for symbolic sizes; 0 is not given
  bool keep = false;              // every materialised tensor keeps its own memory
  uint64_t memory_limit = kMostMemory;
};

enum class Producer : uint32_t {
  kConv = 0,
  kLoad,
  kAdd,
  kMaxPool,
  kSumPool,
  kConcat,
  kUpsample,
  kSelect,
  kDepthToSpace,
  kMultiply,
  kLookup,
  kPoolSame,
  kConcatSame,
  kUpsampleSame
};

// Whether a producer moves codes as they lie, without tiles and epilogue.
inline bool moves_codes(Producer producer) {
  return producer == Producer::kPoolSame || producer == Producer::kConcatSame || producer == Producer::kUpsampleSame;
}

// `count` elements at `offset`.
struct PlanArray {
  uint64_t offset;
  uint64_t count;
};

struct PlanTensor {
  uint64_t name;  // of the program's tensor; NUL-terminated
  uint64_t arena_offset;
  uint64_t plane_stride, pixel_stride;
  Storage storage;
  int32_t height, width, channels;
  int32_t lo, hi, step, planes;
};

// An input or output of the program.
struct PlanPort {
  uint64_t name;
  uint32_t tensor;
  uint32_t rounding;        // of an input's real values
  PlanArray scale, offset;  // float
};

// An output that is an input of the next step.
struct PlanState {
  uint32_t input, output;  // places in the plan's inputs and outputs
  PlanArray initial;       // int32, 1 or one per element
};

// Output channels first .. first + channels - 1 of one group; never across a multiple of kBlock.
struct PlanPiece {
  uint64_t panel;
  int32_t first, channels, group, unused;
};

struct PlanConv {
  uint64_t kernel;   // name
  PlanArray pieces;  // PlanPiece, ascending
  uint64_t pad;      // what padding holds: [planes][tap_bytes]
  uint64_t tap_bytes, patch_stride, patch_plane_stride;
  int32_t group_channels;  // input channels of a group
  int32_t depth, weight_planes, activation_planes, weight_scale, weight_shift;
  int32_t direct;  // patches lie ready in the input tensor
  Family family;
};

struct PlanEpilogue {
  uint64_t kernel;               // name
  uint64_t table, table_stride;  // of block b at table + b * table_stride
  EpilogueKind kind;
  int32_t levels, scale, unused;
};

// lookup: rows of codes one after the other, bytes where they fit, else uint32. The integer is lo + step * code.
struct PlanTable {
  uint64_t codes;
  int32_t code_bytes, lo, step, unused;
};

struct PlanStep {
  uint64_t name, op, result;  // of the producing op; what ran, such as "conv+steps"; of the result
  Producer producer;
  uint32_t output;
  PlanArray inputs;  // uint32 plan tensors
  Window window;
  Upsampling upsampling;
  PlanArray channels;  // select: uint32, of the operand
  int32_t block;       // depth_to_space
  PlanTable table;
  int32_t strip_pixels;
  int64_t work;     // about how many elementary operations; small steps stay on one thread
  uint64_t kernel;  // kPoolSame: name
  PlanConv conv;
  PlanEpilogue epilogue;
};

struct PlanHeader {
  char magic[8];
  uint32_t version;
  uint32_t features;  // needed to run
  uint32_t allowed;   // that loads chosen at run time may use
  uint32_t unused;
  uint64_t bytes;                       // of the plan
  uint64_t arena_bytes, scratch_bytes;  // scratch: per thread
  PlanArray tensors, steps, inputs, outputs;
  PlanArray states;  // PlanState
  PlanArray kept;    // uint32 plan tensors that keep = true returns, one per materialised tensor of the program
};

constexpr char kPlanMagic[8] = {'B', 'I', 'T', 'P', 'L', 'A', 'N', '1'};

// Throws Error: a size that does not fit the program (kArgument) or more memory than the limit (kMemory).
AlignedBytes make_plan(const Program& program, const Target& target);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PLAN_H_
