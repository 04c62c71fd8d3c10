// SPDX-License-Identifier: Apache-2.0
// The engine's C API as a Python module: the one file that knows Python. session.py is what people use.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bitlens.h"

namespace nb = nanobind;

namespace {

// The engine's message, as an exception of its own that session.py turns into a SessionError.
struct EngineError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check(bitlens_code code, const bitlens_status& status) {
  if (code != BITLENS_OK) throw EngineError(status.message);
}

std::vector<float> floats(const float* values, size_t count) { return {values, values + count}; }

// name, (H, W, C), (lo, hi, step), scale, offset, rounding
nb::tuple describe(const bitlens_tensor& t) {
  return nb::make_tuple(t.name, nb::make_tuple(t.height, t.width, t.channels), nb::make_tuple(t.lo, t.hi, t.step),
                        floats(t.scale, t.scale_count), floats(t.offset, t.offset_count), t.rounding);
}

using Input = nb::ndarray<nb::ro, nb::ndim<4>, nb::device::cpu>;
using Output = nb::ndarray<int32_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

using State = nb::ndarray<int32_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

bitlens_view view_of(const Input& input) {
  return {input.data(), input.dtype() == nb::dtype<uint8_t>() ? BITLENS_U8 : BITLENS_I32, input.stride(0),
          input.stride(1), input.stride(2)};
}

using Codes = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Sums = nb::ndarray<int32_t, nb::ndim<5>, nb::c_contig, nb::device::cpu>;
using Scales = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Total = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Numbers = std::vector<int32_t>;

template <typename Array>
int32_t size(const Array& array, size_t axis) {
  return static_cast<int32_t>(array.shape(axis));
}

// function(options, status), with other Python threads running meanwhile.
template <typename F>
void call(int threads, const std::optional<std::string>& isa, F&& function) {
  bitlens_options options{};
  options.threads = threads;
  options.isa = isa ? isa->c_str() : nullptr;
  bitlens_status status;
  bitlens_code code;
  {
    nb::gil_scoped_release released;
    code = function(&options, &status);
  }
  check(code, status);
}

// Shapes have been checked by products.py: codes (N, H, W, C), weights (O, kernel h, kernel w, C), backward
// (C, kernel h, kernel w, O), sums (N, out h, out w, O); stride (h, w), padding (top, left, bottom, right).
void multiply(const Codes& codes, int code_bits, const Codes& weights, int weight_bits, bool backward,
              const Numbers& stride, const Numbers& pads, const Output& sums, int threads,
              std::optional<std::string> isa) {
  const bitlens_product product{codes.data(),     weights.data(),   size(codes, 0), size(codes, 1), size(codes, 2),
                                size(codes, 3),   size(sums, 3),    code_bits,      weight_bits,    backward,
                                size(weights, 1), size(weights, 2), stride.at(0),   stride.at(1),   pads.at(0),
                                pads.at(1),       pads.at(2),       pads.at(3)};
  call(threads, isa,
       [&](const auto* options, auto* status) { return bitlens_multiply(&product, options, sums.data(), status); });
}

bitlens_weight_gradient gradient_of(const Codes& activations, int activation_bits, const Codes& gradients,
                                    int gradient_bits, const Numbers& kernel, const Numbers& stride,
                                    const Numbers& padding) {
  return {activations.data(),   gradients.data(),   size(activations, 0), size(activations, 1), size(activations, 2),
          size(activations, 3), size(gradients, 1), size(gradients, 2),   size(gradients, 3),   activation_bits,
          gradient_bits,        kernel.at(0),       kernel.at(1),         stride.at(0),         stride.at(1),
          padding.at(0),        padding.at(1)};
}

// Activations (N, H, W, C), gradients (N, out h, out w, O), sums (N, kernel h, kernel w, C, O); kernel, stride and
// padding (h, w).
void weight_sums(const Codes& activations, int activation_bits, const Codes& gradients, int gradient_bits,
                 const Numbers& kernel, const Numbers& stride, const Numbers& padding, const Sums& sums, int threads,
                 std::optional<std::string> isa) {
  const auto gradient = gradient_of(activations, activation_bits, gradients, gradient_bits, kernel, stride, padding);
  call(threads, isa,
       [&](const auto* options, auto* status) { return bitlens_weight_sums(&gradient, options, sums.data(), status); });
}

// The same, with scales (N,) and the total (kernel h, kernel w, C, O).
void weight_total(const Codes& activations, int activation_bits, const Codes& gradients, int gradient_bits,
                  const Numbers& kernel, const Numbers& stride, const Numbers& padding, const Scales& scales,
                  const Total& total, int threads, std::optional<std::string> isa) {
  const auto gradient = gradient_of(activations, activation_bits, gradients, gradient_bits, kernel, stride, padding);
  call(threads, isa, [&](const auto* options, auto* status) {
    return bitlens_weight_total(&gradient, scales.data(), options, total.data(), status);
  });
}

class Model {
 public:
  Model(nb::bytes data, int threads, std::optional<std::string> isa, int height, int width, bool keep) {
    bitlens_options options{};
    options.threads = threads;
    options.isa = isa ? isa->c_str() : nullptr;
    options.height = height;
    options.width = width;
    options.keep = keep;
    bitlens_status status;
    const void* bytes = data.c_str();
    const size_t size = data.size();
    bitlens_code code;
    {
      nb::gil_scoped_release released;
      code = bitlens_open(bytes, size, &options, &model_, &status);
    }
    check(code, status);
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  ~Model() { bitlens_close(model_); }

  nb::list inputs() const { return list(bitlens_input_count(model_), bitlens_input); }
  nb::list outputs() const { return list(bitlens_output_count(model_), bitlens_output); }
  nb::list kept() const { return list(bitlens_kept_count(model_), bitlens_kept); }

  // name, op, result, kernel, storage, in shape, out shape
  nb::list layers() const {
    nb::list out;
    for (size_t i = 0; i < bitlens_layer_count(model_); ++i) {
      const bitlens_layer l = bitlens_layer_at(model_, i);
      out.append(nb::make_tuple(l.name, l.op, l.result, l.kernel, l.storage,
                                nb::make_tuple(l.in_height, l.in_width, l.in_channels),
                                nb::make_tuple(l.out_height, l.out_width, l.out_channels)));
    }
    return out;
  }

  // (place of the input, place of the output) of each state
  nb::list states() const {
    nb::list out;
    for (size_t i = 0; i < bitlens_state_count(model_); ++i) {
      const bitlens_state state = bitlens_state_at(model_, i);
      out.append(nb::make_tuple(state.input, state.output));
    }
    return out;
  }

  int threads() const { return bitlens_threads(model_); }

  size_t arena_bytes() const { return bitlens_arena_bytes(model_); }

  // Shapes and dtypes have been checked by session.py: uint8 or int32 (N, H, W, C), channels contiguous.
  void run(const std::vector<Input>& inputs, const std::vector<Output>& outputs, const std::vector<Output>& kept) {
    std::vector<bitlens_view> views;
    for (const Input& input : inputs) views.push_back(view_of(input));
    std::vector<int32_t*> out, keep;
    for (const Output& output : outputs) out.push_back(output.data());
    for (const Output& output : kept) keep.push_back(output.data());
    const size_t images = inputs.at(0).shape(0);
    bitlens_status status;
    bitlens_code code;
    {
      nb::gil_scoped_release released;
      code = bitlens_run(model_, images, views.data(), out.data(), keep.empty() ? nullptr : keep.data(), &status);
    }
    check(code, status);
  }

 private:
  friend class Stream;

  nb::list list(size_t count, bitlens_tensor (*at)(const bitlens_model*, size_t)) const {
    nb::list out;
    for (size_t i = 0; i < count; ++i) out.append(describe(at(model_, i)));
    return out;
  }

  bitlens_model* model_ = nullptr;
};

// A sequence in progress; stream.py has checked shapes and dtypes. The model is kept alive below.
class Stream {
 public:
  explicit Stream(Model& model) {
    bitlens_status status;
    check(bitlens_open_stream(model.model_, &stream_, &status), status);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { bitlens_close_stream(stream_); }

  void step(size_t steps, const std::vector<Input>& inputs, const std::vector<Output>& outputs) {
    std::vector<bitlens_view> views;
    std::vector<int32_t*> out;
    for (const Input& input : inputs) views.push_back(view_of(input));
    for (const Output& output : outputs) out.push_back(output.data());
    bitlens_status status;
    bitlens_code code;
    {
      nb::gil_scoped_release released;
      code = bitlens_step(stream_, steps, views.data(), out.data(), &status);
    }
    check(code, status);
  }

  void reset() {
    bitlens_status status;
    check(bitlens_reset(stream_, &status), status);
  }

  void read(const std::vector<State>& states) {
    std::vector<int32_t*> arrays;
    for (const State& state : states) arrays.push_back(state.data());
    bitlens_status status;
    check(bitlens_read_states(stream_, arrays.data(), &status), status);
  }

  void write(const std::vector<State>& states) {
    std::vector<const int32_t*> arrays;
    for (const State& state : states) arrays.push_back(state.data());
    bitlens_status status;
    check(bitlens_write_states(stream_, arrays.data(), &status), status);
  }

 private:
  bitlens_stream* stream_ = nullptr;
};

}  // namespace

NB_MODULE(_native, m) {
  nb::exception<EngineError>(m, "EngineError");
  m.def("multiply", &multiply, nb::arg("codes"), nb::arg("code_bits"), nb::arg("weights"), nb::arg("weight_bits"),
        nb::arg("backward"), nb::arg("stride"), nb::arg("pads"), nb::arg("sums"), nb::arg("threads"),
        nb::arg("isa").none());
  m.def("weight_sums", &weight_sums, nb::arg("activations"), nb::arg("activation_bits"), nb::arg("gradients"),
        nb::arg("gradient_bits"), nb::arg("kernel"), nb::arg("stride"), nb::arg("padding"), nb::arg("sums"),
        nb::arg("threads"), nb::arg("isa").none());
  m.def("weight_total", &weight_total, nb::arg("activations"), nb::arg("activation_bits"), nb::arg("gradients"),
        nb::arg("gradient_bits"), nb::arg("kernel"), nb::arg("stride"), nb::arg("padding"), nb::arg("scales"),
        nb::arg("total"), nb::arg("threads"), nb::arg("isa").none());
  nb::class_<Model>(m, "Model")
      .def(nb::init<nb::bytes, int, std::optional<std::string>, int, int, bool>(), nb::arg("data"), nb::arg("threads"),
           nb::arg("isa").none(), nb::arg("height"), nb::arg("width"), nb::arg("keep"))
      .def_prop_ro("inputs", &Model::inputs)
      .def_prop_ro("outputs", &Model::outputs)
      .def_prop_ro("kept", &Model::kept)
      .def_prop_ro("layers", &Model::layers)
      .def_prop_ro("states", &Model::states)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("arena_bytes", &Model::arena_bytes)
      .def("run", &Model::run, nb::arg("inputs"), nb::arg("outputs"), nb::arg("kept"));
  nb::class_<Stream>(m, "Stream")
      .def(nb::init<Model&>(), nb::arg("model"), nb::keep_alive<1, 2>())
      .def("step", &Stream::step, nb::arg("steps"), nb::arg("inputs"), nb::arg("outputs"))
      .def("reset", &Stream::reset)
      .def("read", &Stream::read, nb::arg("states"))
      .def("write", &Stream::write, nb::arg("states"));
}
