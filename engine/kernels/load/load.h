// SPDX-License-Identifier: Apache-2.0
// Unpacks a tensor's integers into a tile: the inverse of the store epilogues.
//
//   sums[p][n] = v at pixel first + p, channel `channel` + n;   p < pixels, n < channels <= kBlock
//
// `channel` is any channel (concat reads blocks that begin anywhere). Lanes past `channels` may be written with
// anything.
#ifndef BITLENS_KERNELS_LOAD_LOAD_H_
#define BITLENS_KERNELS_LOAD_LOAD_H_

#include <cstdint>

#include "kernels/tensor.h"

namespace bitlens {

struct LoadTile {
  const Tensor* tensor;
  int64_t first;  // pixel
  int32_t pixels;
  int32_t channel, channels;
  int32_t* sums;  // [pixels][kBlock]; any 4-byte alignment
};

using LoadFunction = void (*)(const LoadTile& tile);

struct LoadKernel {
  const char* name;
  Storage storage;
  uint32_t features;
  LoadFunction run;
};

// The rows of kernels.inc, best first, portable last.
extern const LoadKernel kLoadKernels[];
extern const int kLoadKernelCount;

#define BITLENS_LOAD(name, storage, features) void name(const LoadTile& tile);
#include "kernels/load/kernels.inc"
#undef BITLENS_LOAD

}  // namespace bitlens

#endif  // BITLENS_KERNELS_LOAD_LOAD_H_
