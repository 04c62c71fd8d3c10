// SPDX-License-Identifier: Apache-2.0
#include "program/execute.h"

#include <algorithm>
#include <cstring>

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "program/strip.h"

namespace bitlens {
namespace {

constexpr int64_t kSmallWork = 200000;  // elementary operations that are done before a second thread has woken up
constexpr int64_t kItemsPerThread = 4;

// The row of a list with this name, if this processor has its features.
template <typename Kernel>
const Kernel& find(const Kernel* kernels, int count, const char* name) {
  for (int row = 0; row < count; ++row) {
    if (std::strcmp(kernels[row].name, name) == 0 && (kernels[row].features & ~cpu_features()) == 0)
      return kernels[row];
  }
  fail(ErrorCode::kArgument, "plan: kernel must be one of this build and processor, not %s", name);
}

// Copies the pixels first .. first + pixels - 1 of every operand to its channels of the result.
void concat_copy(const Arena& arena, const uint32_t* inputs, uint64_t count, const Tensor& out, int64_t first,
                 int32_t pixels) {
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const Tensor& in = arena[inputs[i]];
    for (int32_t plane = 0; plane < out.planes; ++plane) {
      const uint8_t* from = in.data + static_cast<size_t>(plane) * in.plane_stride;
      uint8_t* to = out.data + static_cast<size_t>(plane) * out.plane_stride + at;
      for (auto pixel = static_cast<size_t>(first); pixel < static_cast<size_t>(first + pixels); ++pixel) {
        std::memcpy(to + pixel * out.pixel_stride, from + pixel * in.pixel_stride, in.pixel_stride);
      }
    }
    at += in.pixel_stride;
  }
}

}  // namespace

Arena::Arena(const uint8_t* plan, uint8_t* memory) {
  const auto& header = *reinterpret_cast<const PlanHeader*>(plan);
  const auto* tensors = reinterpret_cast<const PlanTensor*>(plan + header.tensors.offset);
  for (uint64_t i = 0; i < header.tensors.count; ++i) {
    const PlanTensor& t = tensors[i];
    tensors_.push_back({memory + t.arena_offset, t.storage, t.height, t.width, t.channels, t.lo, t.hi, t.step, t.planes,
                        t.plane_stride, t.pixel_stride});
  }
}

Runner::Runner(const uint8_t* plan, size_t bytes) : plan_(plan) {
  if (bytes < sizeof(PlanHeader) || std::memcmp(plan, kPlanMagic, sizeof kPlanMagic) != 0 || header().version != 1 ||
      header().bytes != bytes) {
    fail(ErrorCode::kFormat, "plan: bytes must be a plan of this version");
  }
  const auto* steps = array<PlanStep>(header().steps);
  for (uint64_t i = 0; i < header().steps.count; ++i) {
    Step step{&steps[i], nullptr, nullptr, nullptr};
    if (steps[i].producer == Producer::kConv) {
      step.conv = find(kConvKernels, kConvKernelCount, text(steps[i].conv.kernel)).run;
    }
    if (steps[i].producer == Producer::kPoolSame) {
      step.pool = find(kPoolKernels, kPoolKernelCount, text(steps[i].kernel)).run;
    } else if (!moves_codes(steps[i].producer)) {
      step.epilogue = find(kEpilogueKernels, kEpilogueKernelCount, text(steps[i].epilogue.kernel)).run;
    }
    steps_.push_back(step);
  }
  for (int row = kLoadKernelCount - 1; row >= 0; --row) {
    const LoadKernel& kernel = kLoadKernels[row];
    if ((kernel.features & ~(cpu_features() & header().allowed)) == 0) {
      loads_[static_cast<size_t>(kernel.storage)] = kernel.run;
    }
  }
}

void Runner::run(const Arena& arena, uint8_t* scratch, int threads) const {
  for (const Step& step : steps_) run_step(step, arena, scratch, threads);
}

void Runner::run_step(const Step& step, const Arena& arena, uint8_t* scratch, int threads) const {
  const PlanStep& plan = *step.plan;
  const Tensor& out = arena[plan.output];
  const int64_t pixels = out.pixels();
  const int64_t strips = (pixels + plan.strip_pixels - 1) / plan.strip_pixels;
  const int32_t blocks = (out.channels + kBlock - 1) / kBlock;
  if (plan.work < kSmallWork) threads = 1;
  // few strips are split by channels too, at the price of gathering their patches again
  const int64_t wanted =
      threads == 1 || step.epilogue == nullptr ? 1 : (kItemsPerThread * threads + strips - 1) / strips;
  const auto chunks = static_cast<int32_t>(std::min<int64_t>(wanted, blocks));
  parallel_for(strips * chunks, threads, [&](int64_t item, int worker) {
    const int64_t first = item / chunks * plan.strip_pixels;
    const auto chunk = static_cast<int32_t>(item % chunks);
    const auto count = static_cast<int32_t>(std::min<int64_t>(plan.strip_pixels, pixels - first));
    const auto* inputs = array<uint32_t>(plan.inputs);
    if (step.pool != nullptr) return step.pool({&arena[inputs[0]], &out, &plan.window, first, count});
    if (plan.producer == Producer::kUpsampleSame) {
      return upsample_copy(plan.upsampling, arena[inputs[0]], out, first, count);
    }
    if (step.epilogue == nullptr) return concat_copy(arena, inputs, plan.inputs.count, out, first, count);
    run_strip({plan_, &plan, &arena, loads_, step.conv, step.epilogue,
               scratch + static_cast<uint64_t>(worker) * header().scratch_bytes, first, count,
               static_cast<int32_t>(int64_t{blocks} * chunk / chunks),
               static_cast<int32_t>(int64_t{blocks} * (chunk + 1) / chunks)});
  });
}

void Runner::read(const Tensor& tensor, int32_t* out) const {
  constexpr int32_t kPixels = 16;
  alignas(64) int32_t sums[kPixels * kBlock];
  for (int64_t first = 0; first < tensor.pixels(); first += kPixels) {
    const auto pixels = static_cast<int32_t>(std::min<int64_t>(kPixels, tensor.pixels() - first));
    for (int32_t channel = 0; channel < tensor.channels; channel += kBlock) {
      const int32_t channels = std::min(kBlock, tensor.channels - channel);
      loads_[static_cast<size_t>(tensor.storage)]({&tensor, first, pixels, channel, channels, sums});
      for (int32_t p = 0; p < pixels; ++p) {
        std::memcpy(out + (first + p) * tensor.channels + channel, sums + p * kBlock,
                    static_cast<size_t>(channels) * 4);
      }
    }
  }
}

}  // namespace bitlens
