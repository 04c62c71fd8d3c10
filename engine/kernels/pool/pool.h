// SPDX-License-Identifier: Apache-2.0
// Max pooling from a storage to the same storage, for tensors of one grid. Other storages, and sums, go through int32
// tiles.
//
//   out[y][x][c] = max over taps inside the image of in[y * stride_h - pad_top + ty * dilation_h][...][c]
//
// Bytes: the order of v - base is the order of v. Planes: the order of codes is the order of v; two codes are compared
// from the highest plane down on 64 channels at once:
//   greater |= equal & a_p & ~b_p;  equal &= ~(a_p ^ b_p)
// Every window sees at least one pixel (the planner has checked).
#ifndef BITLENS_KERNELS_POOL_POOL_H_
#define BITLENS_KERNELS_POOL_POOL_H_

#include <cstdint>

#include "kernels/tensor.h"
#include "kernels/window.h"

namespace bitlens {

// Output pixels first .. first + pixels - 1.
struct PoolStrip {
  const Tensor* in;
  const Tensor* out;
  const Window* window;
  int64_t first;
  int32_t pixels;
};

using PoolFunction = void (*)(const PoolStrip& strip);

struct PoolKernel {
  const char* name;
  Storage storage;
  uint32_t features;
  PoolFunction run;
};

// The rows of kernels.inc, best first, portable last. No row for words.
extern const PoolKernel kPoolKernels[];
extern const int kPoolKernelCount;

#define BITLENS_POOL(name, storage, features) void name(const PoolStrip& strip);
#include "kernels/pool/kernels.inc"
#undef BITLENS_POOL

}  // namespace bitlens

#endif  // BITLENS_KERNELS_POOL_POOL_H_
