// SPDX-License-Identifier: Apache-2.0
// kernels.inc as a table.
#include "base/cpu.h"
#include "kernels/conv/conv.h"

namespace bitlens {

const ConvKernel kConvKernels[] = {
#define BITLENS_CONV(name, family, features, packing, tile_pixels, condition) \
  {#name,                                                                     \
   Family::family,                                                            \
   static_cast<uint32_t>(features),                                           \
   Packing::packing,                                                          \
   tile_pixels,                                                               \
   name,                                                                      \
   [](const ConvTraits& t) {                                                  \
     static_cast<void>(t);                                                    \
     return static_cast<bool>(condition);                                     \
   }},
#include "kernels/conv/kernels.inc"
#undef BITLENS_CONV
};

const int kConvKernelCount = sizeof kConvKernels / sizeof kConvKernels[0];

}  // namespace bitlens
