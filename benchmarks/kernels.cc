// SPDX-License-Identifier: Apache-2.0
// Times every convolution kernel on a set of shapes, stage by stage, without the engine around it:
//
//   kernels [name part]      per shape: microseconds to gather, to convolve and for the epilogue, and GMAC/s
//
// One thread, CPU time of the thread, 10th percentile of interleaved calls: other work on the machine then moves the
// figures little.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/conv/conv.h"
#include "kernels/conv/gather.h"
#include "kernels/conv/packing.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/tensor.h"

namespace bitlens {
namespace {

struct Shape {
  int32_t size, in, out, kernel, stride;
};

const Shape kShapes[] = {{56, 16, 16, 3, 1},   {56, 24, 24, 3, 1},   {56, 32, 32, 3, 1},   {28, 48, 48, 3, 1},
                         {56, 64, 64, 3, 1},   {28, 128, 128, 3, 1}, {14, 256, 256, 3, 1}, {7, 512, 512, 3, 1},
                         {14, 256, 256, 1, 1}, {28, 128, 128, 3, 2}, {56, 64, 64, 1, 1}};
const Shape kDepthShapes[] = {{56, 64, 64, 3, 1}, {14, 256, 256, 3, 1}, {28, 128, 128, 3, 2}};

struct Precision {
  int32_t weight_planes, activation_planes;
};

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

const EpilogueKernel& epilogue_of(EpilogueKind kind, uint32_t features) {
  for (int row = 0;; ++row) {
    const EpilogueKernel& kernel = kEpilogueKernels[row];
    if (kernel.kind == kind && (kernel.features & ~features) == 0) return kernel;
  }
}

// One layer: all its buffers, and run(stages) that stops after gathering (1), after the sums (2), or never (3).
class Layer {
 public:
  Layer(const ConvKernel& kernel, const Shape& s, Precision precision) : kernel_(kernel), shape_(s) {
    const bool planes = kernel.family == Family::kBits || kernel.family == Family::kTernary;
    const bool depthwise = kernel.family == Family::kDepth;
    const size_t unit = planes ? 8 : depthwise ? kBlock : 4;
    const auto in = static_cast<size_t>(s.in);
    const size_t pixel_bytes = planes ? (in + 7) / 8 : kernel.family == Family::kWords ? 4 * in : in;
    const int32_t pad = s.kernel / 2;
    out_size_ = (s.size + 2 * pad - s.kernel) / s.stride + 1;
    gather_.tap_bytes = depthwise ? std::min<size_t>(kBlock, in) : pixel_bytes;
    gather_.tap_stride = depthwise ? kBlock : pixel_bytes;
    gather_.pixel_stride = pixel_bytes;
    gather_.plane_stride = pixel_bytes * static_cast<size_t>(s.size) * static_cast<size_t>(s.size);
    gather_.height = gather_.width = s.size;
    gather_.planes = planes ? precision.activation_planes : 1;
    gather_.out_width = out_size_;
    gather_.window = {s.kernel, s.kernel, s.stride, s.stride, pad, pad, pad, pad, 1, 1};
    const size_t used = gather_.tap_stride * static_cast<size_t>(s.kernel) * static_cast<size_t>(s.kernel);
    gather_.patch_plane_stride = (used + unit - 1) / unit * unit;
    gather_.patch_stride = (gather_.patch_plane_stride * static_cast<size_t>(gather_.planes) + 7) / 8 * 8;
    input_.assign(gather_.plane_stride * static_cast<size_t>(gather_.planes) + kOverread, 0x55);
    pad_.assign(1024 * 8, 0);
    gather_.input = input_.data();
    gather_.pad = pad_.data();
    direct_ = s.kernel == 1 && s.stride == 1 && used % unit == 0 && !depthwise;
    if (direct_) {
      gather_.patch_stride = gather_.pixel_stride;
      gather_.patch_plane_stride = gather_.plane_stride;
    }
    const auto tile = static_cast<size_t>(kernel.tile_pixels);
    const size_t most = std::max(tile, std::min<size_t>(56, 16384 / gather_.patch_stride) / tile * tile);
    const auto pixels = static_cast<size_t>(out_size_) * static_cast<size_t>(out_size_);
    const size_t strips = (pixels + most - 1) / most;
    strip_ = static_cast<int32_t>(std::min(most, ((pixels + strips - 1) / strips + tile - 1) / tile * tile));
    patches_.assign(static_cast<size_t>(strip_) * gather_.patch_stride + kOverread, 0);
    sums_.assign(static_cast<size_t>(strip_) * kBlock * 4, 0);
    tile_.depth = static_cast<int32_t>((used + unit - 1) / unit);
    tile_.patch_stride = gather_.patch_stride;
    tile_.plane_stride = gather_.patch_plane_stride;
    tile_.weight_planes = kernel.family == Family::kTernary ? 2 : planes ? precision.weight_planes : 1;
    tile_.activation_planes = gather_.planes;
    tile_.weight_scale = 1;
    tile_.sums = reinterpret_cast<int32_t*>(sums_.data());
    panel_shape_ = {kernel.family, std::min(kBlock, s.out), tile_.weight_planes, tile_.depth};
    panel_stride_ = panel_bytes(kernel.packing, panel_shape_);
    panels_.assign(panel_stride_ * static_cast<size_t>((s.out + kBlock - 1) / kBlock), 0x33);
    bits_ = planes ? precision.activation_planes : 8;
    kind_ = planes ? EpilogueKind::kStepsPlanes : EpilogueKind::kRescaleBytes;
    epilogue_ = epilogue_of(kind_, cpu_features()).run;
    const size_t out_pixel = planes ? static_cast<size_t>(s.out + 7) / 8 : static_cast<size_t>(s.out) * 4;
    output_.assign(out_pixel * pixels * 8, 0);
    table_.assign(64 * 64 * 16, 0);
    if (planes) count_levels();
  }

  void run(int stages) {
    const int64_t pixels = int64_t{out_size_} * out_size_;
    for (int64_t first = 0; first < pixels; first += strip_) {
      tile_.pixels = static_cast<int32_t>(std::min<int64_t>(strip_, pixels - first));
      for (int32_t channel = 0; channel < shape_.out; channel += kBlock) {
        if (!direct_ && (channel == 0 || kernel_.family == Family::kDepth)) {
          gather(gather_, first, tile_.pixels, patches_.data());
        }
        if (stages < 2) continue;
        tile_.patches = direct_ ? input_.data() + static_cast<size_t>(first) * tile_.patch_stride : patches_.data();
        tile_.channels = std::min(kBlock, shape_.out - channel);
        tile_.panel = panels_.data() + panel_stride_ * static_cast<size_t>(channel / kBlock);
        kernel_.run(tile_);
        if (stages >= 3) finish(first, channel);
      }
    }
  }

  double macs() const {
    const double in = kernel_.family == Family::kDepth ? 1 : shape_.in;
    return static_cast<double>(out_size_) * out_size_ * shape_.out * in * shape_.kernel * shape_.kernel;
  }

 private:
  // Tables whose codes rise by one a level: bit p toggles at every 2^p-th.
  void count_levels() {
    const int32_t levels = (1 << bits_) - 1;
    auto* toggles = reinterpret_cast<uint64_t*>(table_.data() + static_cast<size_t>(levels) * kBlock * 4) + bits_;
    for (int32_t i = 0; i < levels * bits_; ++i) {
      toggles[i] = (i / bits_ + 1) % (1 << i % bits_) == 0 ? ~uint64_t{0} : 0;
    }
  }

  void finish(int64_t first, int32_t channel) {
    const bool planes = kind_ == EpilogueKind::kStepsPlanes;
    EpilogueTile e{};
    e.sums = tile_.sums;
    e.table = table_.data();
    e.pixel_stride = planes ? static_cast<size_t>(shape_.out + 7) / 8 : static_cast<size_t>(shape_.out);
    e.plane_stride = e.pixel_stride * static_cast<size_t>(out_size_) * static_cast<size_t>(out_size_);
    e.out = output_.data() + static_cast<size_t>(first) * e.pixel_stride +
            static_cast<size_t>(planes ? channel / 8 : channel);
    e.pixels = tile_.pixels;
    e.channels = tile_.channels;
    e.planes = bits_;
    e.levels = (1 << bits_) - 1;
    e.hi = 255;
    epilogue_(e);
  }

  const ConvKernel& kernel_;
  Shape shape_;
  Gather gather_{};
  ConvTile tile_{};
  PanelShape panel_shape_{};
  EpilogueKind kind_;
  EpilogueFunction epilogue_;
  bool direct_;
  int32_t out_size_, strip_, bits_;
  size_t panel_stride_;
  AlignedBytes input_, pad_, patches_, sums_, panels_, output_, table_;
};

double p10(std::vector<double>* times) {
  std::sort(times->begin(), times->end());
  return (*times)[times->size() / 10];
}

void report(const ConvKernel& kernel, const Shape& s, Precision precision) {
  const ConvTraits traits{kernel.family, precision.weight_planes, precision.activation_planes, 127, 255, 100, kBlock};
  if (!kernel.accepts(traits)) return;
  Layer layer(kernel, s, precision);
  std::vector<double> times[3];
  const double begin = thread_seconds();
  while (times[0].size() < 20 || thread_seconds() - begin < 0.08) {
    for (int stages = 1; stages <= 3; ++stages) {
      const double start = thread_seconds();
      layer.run(stages);
      times[stages - 1].push_back(1e6 * (thread_seconds() - start));
    }
  }
  const double gathered = p10(&times[0]), summed = p10(&times[1]), all = p10(&times[2]);
  std::printf("%-26s w%da%d %3dx%-3d %dx%d/%d %3d->%-3d %8.1f us = %6.1f + %8.1f + %6.1f  %7.1f GMAC/s\n", kernel.name,
              precision.weight_planes, precision.activation_planes, s.size, s.size, s.kernel, s.kernel, s.stride, s.in,
              s.out, all, gathered, summed - gathered, all - summed, layer.macs() / all * 1e-3);
  std::fflush(stdout);
}

}  // namespace
}  // namespace bitlens

int main(int argc, char** argv) {
  using namespace bitlens;
  for (int row = 0; row < kConvKernelCount; ++row) {
    const ConvKernel& kernel = kConvKernels[row];
    if ((kernel.features & ~cpu_features()) != 0) continue;
    if (argc > 1 ? std::strstr(kernel.name, argv[1]) == nullptr : kernel.features == 0) continue;
    if (kernel.family == Family::kDepth) {
      for (const Shape& shape : kDepthShapes) report(kernel, shape, {8, 8});
      continue;
    }
    for (const Shape& shape : kShapes) {
      if (kernel.family == Family::kBits) {
        for (const Precision p : {Precision{1, 1}, {1, 2}, {2, 2}, {1, 4}}) report(kernel, shape, p);
      } else if (kernel.family == Family::kTernary) {
        for (const Precision p : {Precision{2, 1}, {2, 2}}) report(kernel, shape, p);
      } else {
        report(kernel, shape, {8, 8});
      }
    }
  }
  return 0;
}
