// SPDX-License-Identifier: Apache-2.0
// Convolution, inner part: gathered patches times a panel of weights.
//
//   sums[p][n] = sum over k of w[n][k] * x[p][k],   k = (kernel row, kernel column, channel), channels fastest
//
// The driver (program/strip.cc) gathers the patches of a strip of output pixels into scratch memory that stays in the
// L1 cache (gather.h), calls one microkernel per panel of at most 64 output channels, and hands the sums to an epilogue
// (kernels/epilogue). So stride, dilation, padding and kernel size never reach a microkernel, and a matrix product is
// the same thing with one pixel per row.
//
// FAMILIES (what a patch and a weight are; the equation each microkernel must compute on raw data):
//
//   kBits     x: A bit planes a_j of codes, weights of grid `odd W`: w = sum_i 2^i d_i, d_i = +-1, stored as planes s_i
//   with
//             bit 1 where d_i = -1.
//                 sums = sum_ij 2^(i+j) popcount(a_j xor s_i) = sum w*c + (2^A - 1) * sum_i 2^i ones(s_i)
//             The second term is a constant per output channel; with the activation's lo and step, and the bias, it is
//             folded into the epilogue by the planner. Bits past the last channel or tap are 0 in a and in s, and so
//             add nothing.
//   kTernary  x: as kBits, weights -1, 0, 1 as plane 0 = s (bit 1 where w = -1), plane 1 = nz (bit 1 where w != 0).
//                 sums = sum_j 2^j popcount((a_j xor s) and nz) = sum w*c + (2^A - 1) * #(w = -1)
//   kBytes    x: uint8 u, weights w = weight_scale * q + weight_shift with q an int8.
//                 sums = weight_scale * sum q*u + weight_shift * sum u
//             weight_scale is 1 with weight_shift 0 (every grid within -128..127), or 2 with weight_shift 0 or 1 (odd
//             8). |sums| < 2^31 is proven by the planner, so is |sum q*u|; int16 saturation (maddubs) is the kernel's
//             business: a row of kernels.inc may state limits on the magnitudes it takes.
//   kDepth    depthwise: x: uint8, read where it lies, q int8, weights scaled as in kBytes.
//                 sums[p][n] = weight_scale * sum_tap q[tap][n]*u[p][tap][n] + weight_shift * sum_tap u[p][tap][n]
//   kWords    x: int32, weights int32. Anything that fits nowhere else; sums wrap to 32 bits exactly.
//
// PATCHES: pixel p starts at patches + p * patch_stride; its plane j (kBits, kTernary) at + j * plane_stride. All
// 8-byte
//   aligned unless the driver passes the input tensor itself (1x1, stride 1), so use unaligned loads. `depth` counts
//   units per plane: 64-bit words (kBits, kTernary), groups of 4 bytes (kBytes), taps (kDepth), int32s
//   (kWords). The tail of the last unit is zero in the weights and, when weight_shift != 0, in the patch too. Reading
//   up to kOverread bytes past the last patch is allowed.
//   kDepth copies nothing: a patch is a row of `depth` pointers (gather_taps), one to the pixel of each tap; the
//   piece's channels begin tap_offset bytes behind it, and kBlock bytes may be read there.
//
// PANELS (64-byte aligned; C = channels rounded up to 16, G = C / 16, lanes past the last channel are zero):
//   kBits, kTernary   uint64 [G][planes][depth][16]
//   kBytes            int8   [G][depth][16][4]
//   kDepth            int8   [depth][64]
//   kWords            int32  [depth][C]
//   A kernel that wants another order adds a Packing with its function in packing.cc (portable code: plans are made on
//   any machine for any target).
//
// SUMS: int32 [pixels][kBlock], 64-byte aligned. A microkernel may write all kBlock lanes of its pixels; lanes past
// `channels`
//   are ignored.
#ifndef BITLENS_KERNELS_CONV_CONV_H_
#define BITLENS_KERNELS_CONV_CONV_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

constexpr int kBlock = 64;  // output channels of a panel, and the row length of `sums`

enum class Family : uint32_t { kBits = 0, kTernary = 1, kBytes = 2, kDepth = 3, kWords = 4 };

// One call: `pixels` patches times one panel. All pixel counts from 1 up must work.
struct ConvTile {
  const uint8_t* patches;
  size_t patch_stride;  // bytes
  size_t plane_stride;  // bytes
  const void* panel;
  int32_t* sums;
  int32_t pixels;
  int32_t channels;           // 1..kBlock
  int32_t depth;              // units per plane, see PATCHES
  int32_t weight_planes;      // kBits: W; kTernary: 2; otherwise 1
  int32_t activation_planes;  // kBits, kTernary: A; otherwise 1
  int32_t weight_scale, weight_shift;
  size_t tap_offset;  // kDepth: bytes from a tap's pointer to the first channel
};

using ConvFunction = void (*)(const ConvTile& tile);

// What the choice of a kernel may depend on.
struct ConvTraits {
  Family family;
  int32_t weight_planes, activation_planes;
  int32_t weight_max;      // largest |q| (kBytes, kDepth)
  int32_t activation_max;  // largest u (kBytes, kDepth)
  int32_t depth, channels;
};

// How a kernel wants its panel, see PANELS; `kPlain` is the layout written there.
//   kTapQuads  kDepth: int8 [ceil(depth / 4)][4 v][4 c][4 j][4 taps], channel 16c + 4v + j: the order in which unpack
//              instructions, which work inside 128 bits, interleave four taps. Taps past depth are zero.
//   kNibbles   kBits, kTernary: every word split into its low and its high nibbles, a byte each:
//              uint64 [G][planes][depth][4 v][2 halves][4], channel 4v + last index; half 0 = word & 0x0f0f...,
//              half 1 = (word >> 4) & 0x0f0f...
enum class Packing : uint32_t { kPlain = 0, kTapQuads = 1, kNibbles = 2 };

struct ConvKernel {
  const char* name;
  Family family;
  uint32_t features;  // all of these Feature bits must be present
  Packing packing;
  int32_t tile_pixels;  // strips are multiples of this where possible
  ConvFunction run;
  bool (*accepts)(const ConvTraits& traits);
};

// The rows of kernels.inc, best first, portable last.
extern const ConvKernel kConvKernels[];
extern const int kConvKernelCount;

// Declares one function per row.
#define BITLENS_CONV(name, family, features, packing, tile_pixels, accepts) void name(const ConvTile& tile);
#include "kernels/conv/kernels.inc"
#undef BITLENS_CONV

}  // namespace bitlens

#endif  // BITLENS_KERNELS_CONV_CONV_H_
