// SPDX-License-Identifier: Apache-2.0
// From ops to units of work: which ops run as one step, and which storage every tensor gets.
#ifndef BITLENS_PROGRAM_PLAN_UNITS_H_
#define BITLENS_PROGRAM_PLAN_UNITS_H_

#include <array>
#include <vector>

#include "program/plan.h"
#include "program/plan_conv.h"
#include "program/program.h"

namespace bitlens {

// One op, together with the `steps` or `rescale` that alone reads its result.
struct Unit {
  const Op* op;
  const Op* final;  // may be nullptr; `op` itself when a steps or rescale stands alone
  uint32_t result;  // program tensor
  ConvChoice choice;

  // The grid of what `final` (or a plain store) reads.
  const Grid& sums_grid(const Program& program) const {
    return program.tensors[final == op ? op->operands[0] : op->result].grid;
  }
};

// Storages of one program tensor: `primary` is what its op writes, the others are made from it by conversion.
struct Storages {
  Storage primary = Storage::kWords;
  std::array<bool, 3> wanted{};  // by readers that can read nothing else; indexed by Storage

  bool wants(Storage storage) const { return wanted[static_cast<size_t>(storage)]; }
};

// Height and width of every tensor for one size of the symbolic inputs. Throws Error (kArgument).
std::vector<Shape> infer_shapes(const Program& program, const Target& target);

std::vector<Unit> make_units(const Program& program, const std::vector<Shape>& shapes, uint32_t features);

// Walks backwards, so that readers are known before their operand's storage is chosen.
std::vector<Storages> choose_storages(const Program& program, const std::vector<Shape>& shapes,
                                      const std::vector<Unit>& units);

// Whether a max_pool keeps grid and storage and so runs without int32 tiles.
bool pools_in_place(const Program& program, const Unit& unit, Storage storage);

// Whether an upsample keeps the grid, and so may copy codes in whatever storage its result has.
bool upsamples_in_place(const Program& program, const Unit& unit);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PLAN_UNITS_H_
