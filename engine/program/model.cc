// SPDX-License-Identifier: Apache-2.0
#include "program/model.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "program/ingest.h"
#include "program/plan.h"
#include "program/program.h"

namespace bitlens {

uint32_t features_of(const char* isa) {
  const char* source = "isa";
  if (isa == nullptr || *isa == '\0') {
    isa = std::getenv("BITLENS_ISA");
    source = "BITLENS_ISA";
  }
  uint32_t mask;
  if (!isa_mask(isa, &mask)) {
    fail(ErrorCode::kArgument, "%s: must be portable, avx2, avx512 or neon, not %.64s", source, isa);
  }
  const uint32_t lead = isa_lead(isa);
  if ((lead & ~cpu_features()) != 0) {
    fail(ErrorCode::kArgument, "%s: must be what this processor has, not %.64s", source, isa);
  }
  return mask & cpu_features();
}

namespace {

Target target_of(const bitlens_options& options) {
  if (options.height < 0 || options.width < 0) {
    fail(ErrorCode::kArgument, "size: height and width must be at least 0, not %d and %d", options.height,
         options.width);
  }
  if (options.memory_limit > kMostMemory) {
    fail(ErrorCode::kArgument, "memory_limit: must be at most %llu bytes, not %llu",
         static_cast<unsigned long long>(kMostMemory), static_cast<unsigned long long>(options.memory_limit));
  }
  Target target;
  target.features = features_of(options.isa);
  target.height = options.height;
  target.width = options.width;
  target.keep = options.keep != 0;
  if (options.memory_limit != 0) target.memory_limit = options.memory_limit;
  return target;
}

int64_t elements(const PlanTensor& t) { return int64_t{t.height} * t.width * t.channels; }

}  // namespace

int threads_of(int threads) {
  if (threads < 0) fail(ErrorCode::kArgument, "threads: must be at least 0, not %d", threads);
  return threads == 0 ? available_threads() : std::min(threads, kMostThreads);
}

Model::Model(const uint8_t* bytes, size_t size, const bitlens_options& options) {
  threads_ = threads_of(options.threads);
  const Target target = target_of(options);
  memory_limit_ = target.memory_limit;
  plan_ = make_plan(read_program(bytes, size), target);
  runner_ = std::make_unique<Runner>(plan_.data(), plan_.size());
  idle_.reserve(kMostThreads);
}

size_t Model::arena_bytes() const {
  const PlanHeader& header = runner_->header();
  return header.arena_bytes + static_cast<size_t>(threads_) * header.scratch_bytes;
}

void Model::use_arena(void* memory, size_t bytes) {
  if (bytes < arena_bytes()) {
    fail(ErrorCode::kArgument, "arena: must have at least %zu bytes, not %zu", arena_bytes(), bytes);
  }
  if (memory == nullptr || reinterpret_cast<uintptr_t>(memory) % kAlignment != 0) {
    fail(ErrorCode::kArgument, "arena: address must be a multiple of %zu", kAlignment);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (lent_busy_) fail(ErrorCode::kBusy, "model: must not be running when its arena changes");
  lent_ = static_cast<uint8_t*>(memory);
}

std::unique_ptr<Model::Workspace> Model::make_workspace(int arenas) const {
  const PlanHeader& header = runner_->header();
  const uint64_t arena_bytes = header.arena_bytes * static_cast<uint64_t>(arenas);
  ZeroedBytes memory(arena_bytes + header.scratch_bytes * static_cast<uint64_t>(threads_));
  uint8_t* first = memory.data();
  auto workspace = std::make_unique<Workspace>(Workspace{std::move(memory), first + arena_bytes, {}});
  for (int i = 0; i < arenas; ++i) {
    workspace->arenas.emplace_back(plan_.data(), first + header.arena_bytes * static_cast<uint64_t>(i));
  }
  return workspace;
}

// Memory for the time of one run: the caller's arena, an idle workspace, or a new one.
class Model::Lease {
 public:
  Lease(Model* model, int arenas) : model_(model) {
    {
      const std::lock_guard<std::mutex> lock(model_->mutex_);
      if (model_->lent_ != nullptr) {
        if (model_->lent_busy_)
          fail(ErrorCode::kBusy, "model: must not be running already when its arena is the caller's");
        lent_arena_.emplace_back(model_->plan_.data(), model_->lent_);
        model_->lent_busy_ = lent_ = true;  // once nothing can throw
      } else {
        auto& idle = model_->idle_;
        const auto fits = [arenas](const auto& w) { return w->arenas.size() >= static_cast<size_t>(arenas); };
        const auto found = std::find_if(idle.begin(), idle.end(), fits);
        if (found != idle.end()) {
          workspace_ = std::move(*found);
          idle.erase(found);
        }
      }
    }
    if (!lent_ && workspace_ == nullptr) workspace_ = model_->make_workspace(arenas);
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  ~Lease() {
    const std::lock_guard<std::mutex> lock(model_->mutex_);
    if (lent_) {
      model_->lent_busy_ = false;
      return;
    }
    auto& idle = model_->idle_;
    // kept for later runs, in memory that the model has reserved: a destructor must not throw
    if (idle.size() < idle.capacity()) idle.push_back(std::move(workspace_));
  }

  int arenas() const { return static_cast<int>(lent_ ? 1 : workspace_->arenas.size()); }
  const Arena& arena(int i) const { return lent_ ? lent_arena_[0] : workspace_->arenas[static_cast<size_t>(i)]; }
  uint8_t* scratch() { return lent_ ? model_->lent_ + model_->runner_->header().arena_bytes : workspace_->scratch; }

 private:
  Model* model_;
  bool lent_ = false;
  std::vector<Arena> lent_arena_;
  std::unique_ptr<Workspace> workspace_;
};

void Model::take_inputs(const Arena& arena, size_t image, const bitlens_view* inputs) const {
  const PlanHeader& header = runner_->header();
  const auto* in = runner_->array<PlanPort>(header.inputs);
  for (uint64_t i = 0; i < header.inputs.count; ++i) {
    const Tensor& tensor = arena[in[i].tensor];
    if (inputs[i].data == nullptr) {
      fail(ErrorCode::kArgument, "%s: data must be the address of integers, not NULL", runner_->text(in[i].name));
    }
    int32_t stray = 0;
    if (!ingest(inputs[i], image, tensor, &stray)) {
      fail(ErrorCode::kInput, "%s: every integer must be on the grid [%d, %d] by %d, not %d", runner_->text(in[i].name),
           tensor.lo, tensor.hi, tensor.step, stray);
    }
  }
}

void Model::run_image(const Arena& arena, uint8_t* scratch, int threads, size_t image, const bitlens_view* inputs,
                      int32_t* const* outputs, int32_t* const* kept) const {
  const PlanHeader& header = runner_->header();
  take_inputs(arena, image, inputs);
  runner_->run(arena, scratch, threads);
  const auto* tensors = runner_->array<PlanTensor>(header.tensors);
  const auto read = [&](uint32_t tensor, int32_t* out) {
    runner_->read(arena[tensor], out + static_cast<int64_t>(image) * elements(tensors[tensor]));
  };
  const auto* out = runner_->array<PlanPort>(header.outputs);
  for (uint64_t i = 0; i < header.outputs.count; ++i) read(out[i].tensor, outputs[i]);
  const auto* keep = runner_->array<uint32_t>(header.kept);
  for (uint64_t i = 0; kept != nullptr && i < header.kept.count; ++i) read(keep[i], kept[i]);
}

void Model::run(size_t images, const bitlens_view* inputs, int32_t* const* outputs, int32_t* const* kept) {
  // as many images at once as there are threads, or one after the other on all threads
  const bool many = threads_ > 1 && images >= static_cast<size_t>(threads_) &&
                    runner_->header().arena_bytes <= memory_limit_ / static_cast<uint64_t>(threads_);
  Lease lease(this, many ? threads_ : 1);
  const uint64_t scratch_bytes = runner_->header().scratch_bytes;
  if (!many || lease.arenas() == 1) {
    for (size_t i = 0; i < images; ++i) run_image(lease.arena(0), lease.scratch(), threads_, i, inputs, outputs, kept);
    return;
  }
  std::mutex error_mutex;
  std::exception_ptr error;
  size_t failed = images;  // the first image that failed, whatever the order of the threads
  parallel_for(static_cast<int64_t>(images), threads_, [&](int64_t image, int worker) {
    try {
      uint8_t* scratch = lease.scratch() + scratch_bytes * static_cast<uint64_t>(worker);
      run_image(lease.arena(worker), scratch, 1, static_cast<size_t>(image), inputs, outputs, kept);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (static_cast<size_t>(image) < failed) failed = static_cast<size_t>(image), error = std::current_exception();
    }
  });
  if (error != nullptr) std::rethrow_exception(error);
}

// The tensor of an input or output.
const PlanTensor& Model::port(const PlanArray& ports, uint64_t place) const {
  const auto* tensors = runner_->array<PlanTensor>(runner_->header().tensors);
  return tensors[runner_->array<PlanPort>(ports)[place].tensor];
}

Model::States Model::initial_states() const {
  const PlanHeader& header = runner_->header();
  const auto* states = runner_->array<PlanState>(header.states);
  States all;
  for (uint64_t i = 0; i < header.states.count; ++i) {
    const auto* initial = runner_->array<int32_t>(states[i].initial);
    std::vector<int32_t> integers(static_cast<size_t>(elements(port(header.inputs, states[i].input))), initial[0]);
    if (states[i].initial.count > 1) std::copy_n(initial, integers.size(), integers.begin());
    all.push_back(std::move(integers));
  }
  return all;
}

void Model::check_state(size_t state, const int32_t* integers) const {
  const PlanHeader& header = runner_->header();
  const uint32_t place = runner_->array<PlanState>(header.states)[state].input;
  const PlanTensor& t = port(header.inputs, place);
  const Grid grid{t.lo, t.hi, t.step};
  for (int64_t i = 0; i < elements(t); ++i) {
    if (grid.contains(integers[i])) continue;
    fail(ErrorCode::kInput, "%s: every integer must be on the grid [%d, %d] by %d, not %d",
         runner_->text(runner_->array<PlanPort>(header.inputs)[place].name), t.lo, t.hi, t.step, integers[i]);
  }
}

void Model::run_sequence(size_t steps, const bitlens_view* inputs, int32_t* const* outputs, States* states) {
  const PlanHeader& header = runner_->header();
  const auto* pairs = runner_->array<PlanState>(header.states);
  const auto* ports = runner_->array<PlanPort>(header.outputs);
  std::vector<bitlens_view> views(header.inputs.count);
  std::vector<int32_t*> targets(header.outputs.count);
  for (uint64_t i = 0; i < header.states.count; ++i) {
    const PlanTensor& t = port(header.inputs, pairs[i].input);
    int32_t* integers = (*states)[i].data();
    views[pairs[i].input] = {integers, BITLENS_I32, 0, int64_t{t.width} * t.channels, t.channels};
    targets[pairs[i].output] = integers;
  }
  std::vector<bool> moves(targets.size());  // on to the next step's place
  for (bitlens_view& view : views) {
    if (view.data == nullptr) view = *inputs++;
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] != nullptr) continue;
    targets[i] = *outputs++;
    moves[i] = true;
  }
  Lease lease(this, 1);
  const Arena& arena = lease.arena(0);
  for (size_t step = 0; step < steps; ++step) {
    take_inputs(arena, step, views.data());
    runner_->run(arena, lease.scratch(), threads_);
    for (size_t i = 0; i < targets.size(); ++i) {
      runner_->read(arena[ports[i].tensor], targets[i]);
      if (moves[i]) targets[i] += elements(port(header.outputs, i));
    }
  }
}

}  // namespace bitlens
