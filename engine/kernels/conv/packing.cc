// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv/packing.h"

#include <cstring>

namespace bitlens {
namespace {

// Size of one unit of a row: a 64-bit word, 4 bytes, one byte, one int32.
size_t unit_bytes(Family family) {
  switch (family) {
    case Family::kBits:
    case Family::kTernary:
      return 8;
    case Family::kDepth:
      return 1;
    case Family::kBytes:
    case Family::kWords:
      return 4;
  }
  return 0;
}

int32_t round_up(int32_t value, int32_t unit) { return (value + unit - 1) / unit * unit; }

// Lanes that stand side by side in a plain panel.
int32_t lanes_of(const PanelShape& shape) {
  if (shape.family == Family::kDepth) return kBlock;
  if (shape.family == Family::kWords) return round_up(shape.channels, 16);
  return 16;
}

// Rows of one byte a tap into the order of kTapQuads.
void pack_tap_quads(const PanelShape& shape, const uint8_t* rows, uint8_t* panel) {
  const auto depth = static_cast<size_t>(shape.depth);
  for (size_t n = 0; n < static_cast<size_t>(shape.channels); ++n) {
    const size_t lane = n % 16 / 4 * 64 + n / 16 * 16 + n % 4 * 4;
    for (size_t tap = 0; tap < depth; ++tap) panel[tap / 4 * 256 + lane + tap % 4] = rows[n * depth + tap];
  }
}

// Rows of 64-bit words, every byte split into two nibbles.
void pack_nibbles(const PanelShape& shape, const uint8_t* rows, uint8_t* panel) {
  const size_t words = row_bytes(shape) / 8;  // (planes, depth) in one index
  for (size_t n = 0; n < static_cast<size_t>(shape.channels); ++n) {
    const uint8_t* row = rows + n * row_bytes(shape);
    for (size_t k = 0; k < words; ++k) {
      uint8_t* to = panel + (n / 16 * words + k) * 256 + n % 16 / 4 * 64 + n % 4 * 8;
      for (size_t i = 0; i < 8; ++i) {
        to[i] = row[8 * k + i] & 15;
        to[32 + i] = row[8 * k + i] >> 4;
      }
    }
  }
}

}  // namespace

size_t row_bytes(const PanelShape& shape) {
  return unit_bytes(shape.family) * static_cast<size_t>(shape.weight_planes) * static_cast<size_t>(shape.depth);
}

size_t panel_bytes(Packing packing, const PanelShape& shape) {
  if (packing == Packing::kTapQuads) return (static_cast<size_t>(shape.depth) + 3) / 4 * 4 * kBlock;
  if (packing == Packing::kNibbles) return 2 * panel_bytes(Packing::kPlain, shape);
  const auto lanes = static_cast<size_t>(lanes_of(shape));
  const size_t groups = (static_cast<size_t>(shape.channels) + lanes - 1) / lanes;
  return (groups * lanes * row_bytes(shape) + 63) / 64 * 64;
}

void pack_panel(Packing packing, const PanelShape& shape, const uint8_t* rows, uint8_t* panel) {
  std::memset(panel, 0, panel_bytes(packing, shape));
  if (packing == Packing::kTapQuads) {
    pack_tap_quads(shape, rows, panel);
    return;
  }
  if (packing == Packing::kNibbles) {
    pack_nibbles(shape, rows, panel);
    return;
  }
  const auto lanes = static_cast<size_t>(lanes_of(shape));
  const size_t unit = unit_bytes(shape.family);
  const size_t units = row_bytes(shape) / unit;  // (planes, depth) in one index
  for (size_t n = 0; n < static_cast<size_t>(shape.channels); ++n) {
    const uint8_t* row = rows + n * row_bytes(shape);
    uint8_t* group = panel + n / lanes * lanes * units * unit;
    for (size_t k = 0; k < units; ++k) std::memcpy(group + (k * lanes + n % lanes) * unit, row + k * unit, unit);
  }
}

}  // namespace bitlens
