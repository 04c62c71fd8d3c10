// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "program/program.h"

namespace bitlens {

void widen_grids(Program* program) {
  std::vector<bool> seen(program->tensors.size());  // by users, whom the file's grid is told
  for (uint32_t i = 0; i < program->input_count; ++i) seen[i] = true;
  for (const auto& output : program->outputs) seen[output.tensor] = true;
  for (const Op& op : program->ops) {
    Grid& grid = program->tensors[op.operands[0]].grid;
    if (op.opcode == Opcode::kConv && op.padded() && !seen[op.operands[0]] && grid.step == 2 && grid.lo < 0 &&
        grid.hi > 0) {
      grid.step = 1;
    }
  }
}

}  // namespace bitlens
