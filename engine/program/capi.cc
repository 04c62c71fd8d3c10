// SPDX-License-Identifier: Apache-2.0
// The C API over Model. Here every exception ends.
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"
#include "program/model.h"
#include "program/product.h"
#include "program/stream.h"
#include "program/weight_gradient.h"

struct bitlens_model {
  bitlens::Model model;
};

struct bitlens_stream {
  bitlens::Stream stream;
};

namespace bitlens {
namespace {

bitlens_code report(bitlens_status* status, bitlens_code code, const char* message) {
  if (status != nullptr) {
    status->code = code;
    std::snprintf(status->message, sizeof status->message, "%s", message);
  }
  return code;
}

template <typename Body>
bitlens_code guarded(bitlens_status* status, Body body) {
  try {
    body();
    return report(status, BITLENS_OK, "");
  } catch (const Error& error) {
    return report(status, static_cast<bitlens_code>(error.code), error.message.c_str());
  } catch (const std::bad_alloc&) {
    return report(status, BITLENS_MEMORY, "program: memory must be enough, not exhausted");
  } catch (const std::exception& error) {
    return report(status, BITLENS_MEMORY, error.what());
  }
}

// A whole file, at most 2^31 - 1 bytes.
AlignedBytes read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) fail(ErrorCode::kArgument, "%.900s: file must be readable", path);
  AlignedBytes bytes;
  uint8_t block[1 << 16];
  size_t count;
  while ((count = std::fread(block, 1, sizeof block, file)) > 0 && bytes.size() <= 0x7fffffff) {
    bytes.insert(bytes.end(), block, block + count);
  }
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) fail(ErrorCode::kArgument, "%.900s: file must be readable", path);
  return bytes;
}

bitlens_tensor describe(const Runner& runner, uint32_t tensor, uint64_t name, PlanArray scale, PlanArray offset) {
  const PlanTensor& t = runner.array<PlanTensor>(runner.header().tensors)[tensor];
  static const float kOne = 1, kZero = 0;
  bitlens_tensor out{};
  out.name = runner.text(name);
  out.height = t.height;
  out.width = t.width;
  out.channels = t.channels;
  out.lo = t.lo;
  out.hi = t.hi;
  out.step = t.step;
  out.scale = scale.count == 0 ? &kOne : runner.array<float>(scale);
  out.scale_count = scale.count == 0 ? 1 : scale.count;
  out.offset = offset.count == 0 ? &kZero : runner.array<float>(offset);
  out.offset_count = offset.count == 0 ? 1 : offset.count;
  return out;
}

bitlens_tensor describe(const Runner& runner, const PlanPort& port) {
  bitlens_tensor out = describe(runner, port.tensor, port.name, port.scale, port.offset);
  out.rounding = static_cast<int>(port.rounding);
  return out;
}

const char* storage_name(Storage storage) {
  return storage == Storage::kPlanes ? "planes" : storage == Storage::kBytes ? "bytes" : "words";
}

}  // namespace
}  // namespace bitlens

using bitlens::PlanPort;
using bitlens::PlanStep;
using bitlens::PlanTensor;
using bitlens::Producer;

bitlens_code bitlens_open(const void* bytes, size_t size, const bitlens_options* options, bitlens_model** model,
                          bitlens_status* status) {
  *model = nullptr;
  return bitlens::guarded(status, [&] {
    const bitlens_options defaults{};
    *model = new bitlens_model{
        bitlens::Model(static_cast<const uint8_t*>(bytes), size, options == nullptr ? defaults : *options)};
  });
}

bitlens_code bitlens_open_file(const char* path, const bitlens_options* options, bitlens_model** model,
                               bitlens_status* status) {
  *model = nullptr;
  bitlens_status inner;
  const bitlens_code code = bitlens::guarded(&inner, [&] {
    const bitlens::AlignedBytes bytes = bitlens::read_file(path);
    if (bitlens_open(bytes.data(), bytes.size(), options, model, &inner) != BITLENS_OK) {
      const char* reason = inner.message + (std::strncmp(inner.message, "file: ", 6) == 0 ? 6 : 0);
      throw bitlens::Error{static_cast<bitlens::ErrorCode>(inner.code), std::string(path) + ": " + reason};
    }
  });
  return bitlens::report(status, code, inner.message);
}

void bitlens_close(bitlens_model* model) { delete model; }

size_t bitlens_input_count(const bitlens_model* model) { return model->model.runner().header().inputs.count; }

size_t bitlens_output_count(const bitlens_model* model) { return model->model.runner().header().outputs.count; }

size_t bitlens_layer_count(const bitlens_model* model) { return model->model.runner().header().steps.count; }

size_t bitlens_kept_count(const bitlens_model* model) { return model->model.runner().header().kept.count; }

bitlens_tensor bitlens_input(const bitlens_model* model, size_t index) {
  const bitlens::Runner& runner = model->model.runner();
  return bitlens::describe(runner, runner.array<PlanPort>(runner.header().inputs)[index]);
}

bitlens_tensor bitlens_output(const bitlens_model* model, size_t index) {
  const bitlens::Runner& runner = model->model.runner();
  return bitlens::describe(runner, runner.array<PlanPort>(runner.header().outputs)[index]);
}

bitlens_tensor bitlens_kept(const bitlens_model* model, size_t index) {
  const bitlens::Runner& runner = model->model.runner();
  const uint32_t tensor = runner.array<uint32_t>(runner.header().kept)[index];
  return bitlens::describe(runner, tensor, runner.array<PlanTensor>(runner.header().tensors)[tensor].name, {}, {});
}

bitlens_layer bitlens_layer_at(const bitlens_model* model, size_t index) {
  const bitlens::Runner& runner = model->model.runner();
  const PlanStep& step = runner.array<PlanStep>(runner.header().steps)[index];
  const auto* tensors = runner.array<PlanTensor>(runner.header().tensors);
  const PlanTensor &in = tensors[runner.array<uint32_t>(step.inputs)[0]], &out = tensors[step.output];
  const char* kernel = step.producer == Producer::kConv           ? runner.text(step.conv.kernel)
                       : step.producer == Producer::kPoolSame     ? runner.text(step.kernel)
                       : step.producer == Producer::kConcatSame   ? "concat_copy"
                       : step.producer == Producer::kUpsampleSame ? "upsample_copy"
                                                                  : runner.text(step.epilogue.kernel);
  return {runner.text(step.name),
          runner.text(step.op),
          runner.text(step.result),
          kernel,
          bitlens::storage_name(out.storage),
          in.height,
          in.width,
          in.channels,
          out.height,
          out.width,
          out.channels};
}

int bitlens_threads(const bitlens_model* model) { return model->model.threads(); }

size_t bitlens_arena_bytes(const bitlens_model* model) { return model->model.arena_bytes(); }

bitlens_code bitlens_use_arena(bitlens_model* model, void* memory, size_t bytes, bitlens_status* status) {
  return bitlens::guarded(status, [&] { model->model.use_arena(memory, bytes); });
}

bitlens_code bitlens_run(bitlens_model* model, size_t images, const bitlens_view* inputs, int32_t* const* outputs,
                         int32_t* const* kept, bitlens_status* status) {
  return bitlens::guarded(status, [&] { model->model.run(images, inputs, outputs, kept); });
}

size_t bitlens_state_count(const bitlens_model* model) { return model->model.runner().header().states.count; }

bitlens_state bitlens_state_at(const bitlens_model* model, size_t index) {
  const bitlens::Runner& runner = model->model.runner();
  const auto& state = runner.array<bitlens::PlanState>(runner.header().states)[index];
  return {state.input, state.output};
}

bitlens_code bitlens_open_stream(bitlens_model* model, bitlens_stream** stream, bitlens_status* status) {
  *stream = nullptr;
  return bitlens::guarded(status, [&] { *stream = new bitlens_stream{bitlens::Stream(&model->model)}; });
}

void bitlens_close_stream(bitlens_stream* stream) { delete stream; }

bitlens_code bitlens_step(bitlens_stream* stream, size_t steps, const bitlens_view* inputs, int32_t* const* outputs,
                          bitlens_status* status) {
  return bitlens::guarded(status, [&] { stream->stream.run(steps, inputs, outputs); });
}

bitlens_code bitlens_reset(bitlens_stream* stream, bitlens_status* status) {
  return bitlens::guarded(status, [&] { stream->stream.reset(); });
}

bitlens_code bitlens_read_states(bitlens_stream* stream, int32_t* const* integers, bitlens_status* status) {
  return bitlens::guarded(status, [&] { stream->stream.read_states(integers); });
}

bitlens_code bitlens_write_states(bitlens_stream* stream, const int32_t* const* integers, bitlens_status* status) {
  return bitlens::guarded(status, [&] { stream->stream.write_states(integers); });
}

bitlens_code bitlens_multiply(const bitlens_product* product, const bitlens_options* options, int32_t* sums,
                              bitlens_status* status) {
  return bitlens::guarded(status, [&] {
    const uint32_t features = bitlens::features_of(options == nullptr ? nullptr : options->isa);
    bitlens::multiply(*product, features, bitlens::threads_of(options == nullptr ? 0 : options->threads), sums);
  });
}

bitlens_code bitlens_weight_sums(const bitlens_weight_gradient* gradient, const bitlens_options* options, int32_t* sums,
                                 bitlens_status* status) {
  return bitlens::guarded(status, [&] {
    const uint32_t features = bitlens::features_of(options == nullptr ? nullptr : options->isa);
    const int threads = bitlens::threads_of(options == nullptr ? 0 : options->threads);
    bitlens::weight_gradient(*gradient, features, threads, sums, nullptr, nullptr);
  });
}

bitlens_code bitlens_weight_total(const bitlens_weight_gradient* gradient, const float* scales,
                                  const bitlens_options* options, float* total, bitlens_status* status) {
  return bitlens::guarded(status, [&] {
    const uint32_t features = bitlens::features_of(options == nullptr ? nullptr : options->isa);
    const int threads = bitlens::threads_of(options == nullptr ? 0 : options->threads);
    bitlens::weight_gradient(*gradient, features, threads, nullptr, scales, total);
  });
}
