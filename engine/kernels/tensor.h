// SPDX-License-Identifier: Apache-2.0
// How a tensor of integers lies in memory: one description for every kernel.
//
// A tensor is (height, width, channels), channels last; pixel = y * width + x. It holds integers v of a grid
// {lo, lo + step, ..., hi}; the code of v is c = (v - lo) / step. Three storages:
//
//   planes  bit p of every code, plane after plane. Plane p, pixel i, channel c is bit (c mod 8) of the byte
//           p * plane_stride + i * pixel_stride + c / 8, with pixel_stride = ceil(channels / 8). Bits past the last
//           channel are 0.
//   bytes   uint8 of v - base with base = min(lo, 0), so that the integer 0 (padding) always has a byte; pixel_stride
//           = channels. Possible while max(hi, 0) - base <= 255.
//   words   int32 v; pixel_stride = 4 * channels.
//
// Every tensor starts on a 64-byte boundary. Kernels may read, never write, up to kOverread bytes past its end.
#ifndef BITLENS_KERNELS_TENSOR_H_
#define BITLENS_KERNELS_TENSOR_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

constexpr size_t kOverread = 64;
constexpr size_t kAlignment = 64;

enum class Storage : uint32_t { kPlanes = 0, kBytes = 1, kWords = 2 };

struct Tensor {
  uint8_t* data;
  Storage storage;
  int32_t height, width, channels;
  int32_t lo, hi, step;  // grid
  int32_t planes;        // bits of a code; 1 for bytes and words
  size_t plane_stride;   // bytes from plane to plane
  size_t pixel_stride;   // bytes from pixel to pixel

  int32_t base() const { return lo < 0 ? lo : 0; }
  int64_t pixels() const { return int64_t{height} * width; }
};

}  // namespace bitlens

#endif  // BITLENS_KERNELS_TENSOR_H_
