// SPDX-License-Identifier: Apache-2.0
#include "program/program.h"

namespace bitlens {

int32_t Grid::bits() const {
  int32_t bits = 1;
  while (int64_t{1} << bits < levels()) ++bits;
  return bits;
}

bool Grid::covers(const Grid& other) const {
  if (other.lo == other.hi) return contains(other.lo);
  const bool steps = step == 1 || (other.step == 2 && (int64_t{other.lo} - lo) % 2 == 0);
  return lo <= other.lo && other.hi <= hi && steps;
}

const char* opcode_name(Opcode opcode) {
  static const char* const kNames[] = {"",         "conv",   "steps",          "rescale",  "max_pool",
                                       "sum_pool", "add",    "concat",         "flatten",  "upsample",
                                       "crop",     "select", "depth_to_space", "multiply", "lookup"};
  static_assert(sizeof kNames / sizeof kNames[0] == kLastOpcode + 1);
  return kNames[static_cast<int>(opcode)];
}

bool Op::only_moves() const {
  switch (opcode) {
    case Opcode::kUpsample:
      return !upsampling.fills();
    case Opcode::kMaxPool:
    case Opcode::kConcat:
    case Opcode::kFlatten:
    case Opcode::kCrop:
    case Opcode::kSelect:
    case Opcode::kDepthToSpace:
      return true;
    default:
      return false;
  }
}

// Plane by plane, so that a bit is looked at once.
void read_codes(const Op& op, uint32_t output, uint32_t* codes) {
  const uint64_t count = op.weights_per_output();
  const uint64_t first = output * count;
  const uint64_t plane_bytes = (op.weight_count + 7) / 8;
  for (uint64_t i = 0; i < count; ++i) codes[i] = 0;
  for (int32_t p = 0; p < op.weight_grid.bits(); ++p) {
    const uint8_t* plane = op.weights + static_cast<uint64_t>(p) * plane_bytes;
    for (uint64_t i = 0; i < count; ++i) {
      codes[i] |= static_cast<uint32_t>(plane[(first + i) / 8] >> ((first + i) % 8) & 1) << p;
    }
  }
}

}  // namespace bitlens
