// SPDX-License-Identifier: Apache-2.0
// What happens to a tile of sums before it leaves the L1 cache: requantize it and store it in the storage its readers
// want.
//
// Input: sums int32 [pixels][kBlock] of one block of at most 64 channels. Every producer (convolution, pooling,
// addition, the plain load of a tensor) ends here, so standalone `steps` and `rescale`, packing and unpacking are loads
// with an epilogue.
//
// KINDS and their tables (one per block of 64 channels, 64-byte aligned, lanes past the last channel are zero, limits
// of such lanes INT32_MAX):
//
//   kSteps*          limits ascend from level to level in every lane
//   kStepsPlanes   int32 limits[levels][64]; uint64 first[planes]; uint64 toggles[levels][planes]
//                    passed_l = mask of channels with sums > limits[l]         (limit = breakpoint - 1; INT32_MAX =
//                    never) plane p  = first[p] xor (passed_0 & toggles[0][p]) xor (passed_1 & toggles[1][p]) ...
//                  Bit n of a mask is channel n. Rising, falling and non-monotone tables alike. levels <= kMaxCompares.
//   kStepsBytes    int32 first[64]; int32 limits[levels][64]; int32 deltas[levels][64]
//                    byte = first + sum of deltas[l] over the levels passed (0..255). levels <= kMaxCompares.
//   kSearchBytes,  int32 limits[64][levels] ascending; int32 values[64][levels + 1]
//   kSearchWords     out = values[number of limits below sums], found by bisection
//   kRescaleBytes, int32 multiplier[64]; int64 addend[64]; int64 shift[64]
//   kRescaleWords    v = clamp((multiplier * sums + addend) >> shift, lo, hi) in 64 bits; byte = v - base
//   kStorePlanes,  int32 offset[64]
//   kStoreBytes,     v = scale * sums + offset; planes of (v - lo) / step, byte = v - base, word = v
//   kStoreWords
//
// OUTPUT of pixel p: planes: ceil(channels / 8) bytes at out + p * pixel_stride + j * plane_stride, bits past the last
// channel zero; bytes: `channels` bytes at out + p * pixel_stride; words: `channels` int32 there. Not one byte more may
// be written: what follows belongs to another thread. No alignment is promised.
#ifndef BITLENS_KERNELS_EPILOGUE_EPILOGUE_H_
#define BITLENS_KERNELS_EPILOGUE_EPILOGUE_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

constexpr int kMaxCompares = 15;  // 4-bit outputs; longer tables are searched

enum class EpilogueKind : uint32_t {
  kStepsPlanes = 0,
  kStepsBytes,
  kSearchBytes,
  kSearchWords,
  kRescaleBytes,
  kRescaleWords,
  kStorePlanes,
  kStoreBytes,
  kStoreWords,
};

// One call: a tile of sums. `scale` is 1 or 2 (kStore*); lo, hi, step and base are those of the output tensor.
struct EpilogueTile {
  const int32_t* sums;
  const void* table;
  uint8_t* out;
  size_t pixel_stride;  // bytes
  size_t plane_stride;  // bytes
  int32_t pixels;
  int32_t channels;  // 1..kBlock
  int32_t levels;
  int32_t planes;
  int32_t scale;
  int32_t lo, hi, step, base;
};

using EpilogueFunction = void (*)(const EpilogueTile& tile);

struct EpilogueKernel {
  const char* name;
  EpilogueKind kind;
  uint32_t features;
  EpilogueFunction run;
};

// The rows of kernels.inc, best first, portable last.
extern const EpilogueKernel kEpilogueKernels[];
extern const int kEpilogueKernelCount;

#define BITLENS_EPILOGUE(name, kind, features) void name(const EpilogueTile& tile);
#include "kernels/epilogue/kernels.inc"
#undef BITLENS_EPILOGUE

}  // namespace bitlens

#endif  // BITLENS_KERNELS_EPILOGUE_EPILOGUE_H_
