// SPDX-License-Identifier: Apache-2.0
// A model that is open: its plan, and the memory of its runs.
#ifndef BITLENS_PROGRAM_MODEL_H_
#define BITLENS_PROGRAM_MODEL_H_

#include <memory>
#include <mutex>
#include <vector>

#include "base/aligned.h"
#include "bitlens.h"
#include "program/execute.h"

namespace bitlens {

// What an option stands for here: processor features of an instruction set's name, a number of threads. Throw Error.
uint32_t features_of(const char* isa);
int threads_of(int threads);

class Model {
 public:
  // Throws Error.
  Model(const uint8_t* bytes, size_t size, const bitlens_options& options);

  void use_arena(void* memory, size_t bytes);
  void run(size_t images, const bitlens_view* inputs, int32_t* const* outputs, int32_t* const* kept);

  // The integers of every state, (H, W, C) each.
  using States = std::vector<std::vector<int32_t>>;
  States initial_states() const;
  // Throws Error (kInput) when an integer is not on the state's grid.
  void check_state(size_t state, const int32_t* integers) const;
  // Steps one after the other; one view and one array for each input and output that is no state.
  void run_sequence(size_t steps, const bitlens_view* inputs, int32_t* const* outputs, States* states);

  const Runner& runner() const { return *runner_; }
  int threads() const { return threads_; }
  // Arena and scratch of one image on all threads.
  size_t arena_bytes() const;

 private:
  // Memory of one call of run: an arena for each image in flight, scratch for each thread.
  struct Workspace {
    ZeroedBytes memory;
    uint8_t* scratch;
    std::vector<Arena> arenas;
  };
  class Lease;

  std::unique_ptr<Workspace> make_workspace(int arenas) const;
  void run_image(const Arena& arena, uint8_t* scratch, int threads, size_t image, const bitlens_view* inputs,
                 int32_t* const* outputs, int32_t* const* kept) const;
  void take_inputs(const Arena& arena, size_t image, const bitlens_view* inputs) const;
  const PlanTensor& port(const PlanArray& ports, uint64_t place) const;

  AlignedBytes plan_;
  std::unique_ptr<Runner> runner_;
  int threads_ = 1;
  uint64_t memory_limit_;

  std::mutex mutex_;  // of what follows
  std::vector<std::unique_ptr<Workspace>> idle_;
  uint8_t* lent_ = nullptr;  // the caller's arena
  bool lent_busy_ = false;
};

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_MODEL_H_
