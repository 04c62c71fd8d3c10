// SPDX-License-Identifier: Apache-2.0
// From weight rows to the panel that a microkernel reads. Portable: plans are made on any machine for any target.
//
// A row is one output channel's weights in the order of a patch, `depth` units per plane as conv.h counts them:
//   kBits, kTernary uint64 [planes][depth];  kBytes int8 [4 * depth];  kDepth int8 [depth];  kWords int32 [depth].
#ifndef BITLENS_KERNELS_CONV_PACKING_H_
#define BITLENS_KERNELS_CONV_PACKING_H_

#include "kernels/conv/conv.h"

namespace bitlens {

struct PanelShape {
  Family family;
  int32_t channels;  // rows, 1..kBlock
  int32_t weight_planes;
  int32_t depth;
};

// Bytes of one row.
size_t row_bytes(const PanelShape& shape);

// Bytes of the panel, a multiple of 64.
size_t panel_bytes(Packing packing, const PanelShape& shape);

// Writes the panel of `shape.channels` rows that lie one after the other; `panel` is 64-byte aligned, panel_bytes long.
void pack_panel(Packing packing, const PanelShape& shape, const uint8_t* rows, uint8_t* panel);

}  // namespace bitlens

#endif  // BITLENS_KERNELS_CONV_PACKING_H_
