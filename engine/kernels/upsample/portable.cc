// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "kernels/upsample/upsample.h"

namespace bitlens {
namespace {

// The integer 0 as one pixel of a plane.
void fill_zero(const Tensor& out, int32_t plane, uint8_t* pixel) {
  if (out.storage != Storage::kPlanes) {
    const int value = out.storage == Storage::kBytes ? -out.base() : 0;
    std::memset(pixel, value, out.pixel_stride);
    return;
  }
  const uint32_t code = static_cast<uint32_t>(-int64_t{out.lo}) / static_cast<uint32_t>(out.step);
  if ((code >> plane & 1) == 0) {
    std::memset(pixel, 0, out.pixel_stride);
    return;
  }
  std::memset(pixel, 0xff, out.pixel_stride);
  const int32_t tail = out.channels % 8;  // bits past the last channel are 0
  if (tail != 0) pixel[out.pixel_stride - 1] = static_cast<uint8_t>((1 << tail) - 1);
}

}  // namespace

int64_t upsample_source(const Upsampling& u, const Tensor& in, const Tensor& out, int64_t pixel) {
  const int64_t y = pixel / out.width - u.pad_top, x = pixel % out.width - u.pad_left;
  if (y < 0 || x < 0 || y >= int64_t{in.height} * u.factor_h || x >= int64_t{in.width} * u.factor_w) return -1;
  if (u.repeat == 0 && (y % u.factor_h != 0 || x % u.factor_w != 0)) return -1;
  return y / u.factor_h * in.width + x / u.factor_w;
}

void upsample_copy(const Upsampling& u, const Tensor& in, const Tensor& out, int64_t first, int32_t pixels) {
  const size_t bytes = in.pixel_stride;
  for (int64_t pixel = first; pixel < first + pixels; ++pixel) {
    const int64_t source = upsample_source(u, in, out, pixel);
    for (int32_t plane = 0; plane < out.planes; ++plane) {
      uint8_t* to = out.data + static_cast<size_t>(plane) * out.plane_stride + static_cast<size_t>(pixel) * bytes;
      if (source < 0) {
        fill_zero(out, plane, to);
      } else {
        std::memcpy(to, in.data + static_cast<size_t>(plane) * in.plane_stride + static_cast<size_t>(source) * bytes,
                    bytes);
      }
    }
  }
}

}  // namespace bitlens
