// SPDX-License-Identifier: Apache-2.0
// Pixels whose window lies inside the image, nearly all of them, are copied in steps of a fixed size that may read and
// write past the end of a run: patches are written in the order of their addresses, so what is written too far is
// written again, and behind the last patch there are kOverread bytes.
#include "kernels/conv/gather.h"

#include <algorithm>
#include <cstring>

namespace bitlens {
namespace {

// Copies a tap; the usual sizes without a call.
void copy_tap(uint8_t* to, const uint8_t* from, size_t bytes) {
  switch (bytes) {
    case 2:
      std::memcpy(to, from, 2);
      return;
    case 4:
      std::memcpy(to, from, 4);
      return;
    case 8:
      std::memcpy(to, from, 8);
      return;
    case 16:
      std::memcpy(to, from, 16);
      return;
    case 32:
      std::memcpy(to, from, 32);
      return;
    case 64:
      std::memcpy(to, from, 64);
      return;
    default:
      std::memcpy(to, from, bytes);
  }
}

// One pixel, tap by tap, any window.
void gather_border(const Gather& gather, int64_t y, int64_t x, uint8_t* patch) {
  const Gather g = gather;  // a copy that the bytes written cannot alias
  const Window& w = g.window;
  for (int32_t j = 0; j < g.planes; ++j) {
    const uint8_t* plane = g.input + static_cast<size_t>(j) * g.plane_stride;
    const uint8_t* pad = g.pad + static_cast<size_t>(j) * g.tap_bytes;
    uint8_t* to = patch + static_cast<size_t>(j) * g.patch_plane_stride;
    uint8_t* const end = to + g.patch_plane_stride;
    for (int32_t row = 0; row < w.kernel_h; ++row) {
      const int64_t in_y = y + int64_t{row} * w.dilation_h;
      const bool row_inside = in_y >= 0 && in_y < g.height;
      const uint8_t* from = plane + (in_y * g.width + x) * static_cast<int64_t>(g.pixel_stride);
      const int64_t next = w.dilation_w * static_cast<int64_t>(g.pixel_stride);
      int64_t in_x = x;
      for (int32_t tap = 0; tap < w.kernel_w; ++tap, to += g.tap_bytes, from += next, in_x += w.dilation_w) {
        copy_tap(to, row_inside && in_x >= 0 && in_x < g.width ? from : pad, g.tap_bytes);
      }
    }
    for (; to < end; to += 4) std::memset(to, 0, 4);  // planes of patches are whole words of 4 or 8 bytes
  }
}

// One step of copying a window: offsets from its first tap in the input, and from the start of the patch's plane.
struct Copy {
  uint32_t from, to;
};

// Taps of a kernel row that lie densely in the input and in the patch are one run of bytes.
bool is_dense(const Gather& g) { return g.window.dilation_w == 1 && g.pixel_stride == g.tap_bytes; }

// Bytes of one run.
size_t run_bytes_of(const Gather& g) {
  return is_dense(g) ? g.tap_bytes * static_cast<size_t>(g.window.kernel_w) : g.tap_bytes;
}

// The steps of one plane of a window inside the image, each `step` bytes, or whole runs if that is 0; none when they
// are more than kMostCopies.
class CopyList {
 public:
  CopyList(const Gather& g, size_t step) {
    const Window& w = g.window;
    const int32_t runs = is_dense(g) ? 1 : w.kernel_w;
    const size_t run_bytes = run_bytes_of(g);
    if (step == 0) step = run_bytes;
    const size_t column = static_cast<size_t>(w.dilation_w) * g.pixel_stride;
    const size_t row = static_cast<size_t>(w.dilation_h) * static_cast<size_t>(g.width) * g.pixel_stride;
    const size_t row_to = g.tap_bytes * static_cast<size_t>(w.kernel_w);
    for (int32_t i = 0; i < w.kernel_h; ++i) {
      for (int32_t run = 0; run < runs; ++run) {
        for (size_t at = 0; at < run_bytes; at += step) {
          if (count_ == kMostCopies) {
            count_ = 0;
            return;
          }
          copies_[count_++] = {
              static_cast<uint32_t>(static_cast<size_t>(i) * row + static_cast<size_t>(run) * column + at),
              static_cast<uint32_t>(static_cast<size_t>(i) * row_to + static_cast<size_t>(run) * g.tap_bytes + at)};
        }
      }
    }
  }

  const Copy* begin() const { return copies_; }
  int32_t count() const { return count_; }

 private:
  static constexpr int32_t kMostCopies = 256;
  Copy copies_[kMostCopies];
  int32_t count_ = 0;
};

// `pixels` windows inside the image, side by side; `from` is the first tap of the first. kStep is the size of a step,
// at most kOverread, 0 for a whole run, and kCount the number of steps, 0 when only known at run time.
template <size_t kStep, int32_t kCount>
void gather_inside(const Gather& g, const CopyList& list, const uint8_t* from, int32_t pixels, uint8_t* patch) {
  const Copy* copies = list.begin();
  const int32_t count = kCount > 0 ? kCount : list.count();
  const int32_t planes = g.planes;
  const size_t taps = static_cast<size_t>(g.window.kernel_h) * static_cast<size_t>(g.window.kernel_w);
  const size_t used = g.tap_bytes * taps, plane_from = g.plane_stride, plane_to = g.patch_plane_stride;
  const size_t run = run_bytes_of(g);
  const size_t next_from = static_cast<size_t>(g.window.stride_w) * g.pixel_stride, next_to = g.patch_stride;
  for (int32_t p = 0; p < pixels; ++p, from += next_from, patch += next_to) {
    const uint8_t* plane = from;
    uint8_t* to = patch;
    for (int32_t j = 0; j < planes; ++j, plane += plane_from, to += plane_to) {
      for (int32_t i = 0; i < count; ++i) {
        if constexpr (kStep == 0) {
          std::memcpy(to + copies[i].to, plane + copies[i].from, run);
        } else {
          uint8_t bytes[kStep];
          std::memcpy(bytes, plane + copies[i].from, kStep);
          std::memcpy(to + copies[i].to, bytes, kStep);
        }
      }
      for (size_t at = used; at < plane_to; at += 8) std::memset(to + at, 0, 8);
    }
  }
}

template <size_t kStep>
void gather_steps(const Gather& g, const CopyList& list, const uint8_t* from, int32_t pixels, uint8_t* patch) {
  if (list.count() == 3) return gather_inside<kStep, 3>(g, list, from, pixels, patch);
  if (list.count() == 9) return gather_inside<kStep, 9>(g, list, from, pixels, patch);
  gather_inside<kStep, 0>(g, list, from, pixels, patch);
}

// The smallest step that takes a run at once, or 64; 0 for long runs, where the C library's vectors are wider than
// ours.
size_t step_of(const Gather& g) {
  const size_t bytes = run_bytes_of(g);
  if (bytes > 192) return 0;
  return bytes <= 8 ? 8 : bytes <= 16 ? 16 : bytes % 64 != 0 && bytes % 64 <= 32 ? 32 : 64;
}

void gather_run(const Gather& g, const CopyList& list, size_t step, int64_t y, int64_t x, int32_t pixels,
                uint8_t* patch) {
  const uint8_t* from = g.input + static_cast<size_t>(y * g.width + x) * g.pixel_stride;
  if (step == 0) return gather_steps<0>(g, list, from, pixels, patch);
  if (step == 8) return gather_steps<8>(g, list, from, pixels, patch);
  if (step == 16) return gather_steps<16>(g, list, from, pixels, patch);
  if (step == 32) return gather_steps<32>(g, list, from, pixels, patch);
  gather_steps<64>(g, list, from, pixels, patch);
}

// ceil(a / b) for b > 0.
int64_t divide_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

}  // namespace

void gather(const Gather& g, int64_t first, int32_t pixels, uint8_t* patches) {
  const Window& w = g.window;
  // columns of the output whose windows lie between the left and the right edge
  const int64_t left = divide_up(w.pad_left, w.stride_w);
  const int64_t room = g.width + w.pad_left - int64_t{w.kernel_w - 1} * w.dilation_w;  // x * stride_w < room
  const size_t step = step_of(g);
  const CopyList list(g, step);
  const int64_t right = std::max(left, divide_up(std::max<int64_t>(room, 0), w.stride_w));
  for (int32_t p = 0; p < pixels;) {
    const int64_t out_x = (first + p) % g.out_width;
    const int64_t y = (first + p) / g.out_width * w.stride_h - w.pad_top;
    const int64_t x = out_x * w.stride_w - w.pad_left;
    uint8_t* patch = patches + static_cast<size_t>(p) * g.patch_stride;
    const bool inside = list.count() > 0 && y >= 0 && y + int64_t{w.kernel_h - 1} * w.dilation_h < g.height;
    if (!inside || out_x < left || out_x >= right) {
      gather_border(g, y, x, patch);
      ++p;
      continue;
    }
    const auto run = static_cast<int32_t>(std::min<int64_t>(pixels - p, std::min<int64_t>(right, g.out_width) - out_x));
    gather_run(g, list, step, y, x, run, patch);
    p += run;
  }
}

void gather_taps(const Gather& gather, int64_t first, int32_t pixels, uint8_t* patches) {
  constexpr int64_t kMostTaps = 128;
  const Gather g = gather;  // a copy that the pointers written cannot alias
  const Window& w = g.window;
  const auto stride = static_cast<int64_t>(g.pixel_stride);
  const int64_t high = int64_t{w.kernel_h - 1} * w.dilation_h, wide = int64_t{w.kernel_w - 1} * w.dilation_w;
  const int64_t count = int64_t{w.kernel_h} * w.kernel_w;
  int64_t steps[kMostTaps];  // bytes from the first tap of a window to each
  for (int64_t tap = 0; tap < std::min(count, kMostTaps); ++tap) {
    steps[tap] = (tap / w.kernel_w * w.dilation_h * g.width + tap % w.kernel_w * w.dilation_w) * stride;
  }
  int64_t out_x = first % g.out_width, y = first / g.out_width * w.stride_h - w.pad_top;
  for (int32_t p = 0; p < pixels; ++p, patches += g.patch_stride) {
    auto* taps = reinterpret_cast<const uint8_t**>(patches);
    const int64_t x = out_x * w.stride_w - w.pad_left;
    if (count <= kMostTaps && y >= 0 && y + high < g.height && x >= 0 && x + wide < g.width) {
      const uint8_t* from = g.input + (y * g.width + x) * stride;
      for (int64_t tap = 0; tap < count; ++tap) taps[tap] = from + steps[tap];
    } else {
      for (int64_t tap = 0; tap < count; ++tap) {
        const int64_t in_y = y + tap / w.kernel_w * w.dilation_h, in_x = x + tap % w.kernel_w * w.dilation_w;
        const bool inside = in_y >= 0 && in_y < g.height && in_x >= 0 && in_x < g.width;
        taps[tap] = inside ? g.input + (in_y * g.width + in_x) * stride : g.pad;
      }
    }
    if (++out_x == g.out_width) out_x = 0, y += w.stride_h;
  }
}

}  // namespace bitlens
