// SPDX-License-Identifier: Apache-2.0
// A sequence in progress: the state that a recurrent program carries from step to step.
#ifndef BITLENS_PROGRAM_STREAM_H_
#define BITLENS_PROGRAM_STREAM_H_

#include <mutex>
#include <vector>

#include "program/model.h"

namespace bitlens {

class Stream {
 public:
  // Begins at the initial integers. `model` must outlive the stream. Throws Error (kArgument) when it has no state.
  explicit Stream(Model* model);

  void reset();
  // One view and one array for each input and output that is no state. When a step is refused, none has been taken.
  void run(size_t steps, const bitlens_view* inputs, int32_t* const* outputs);

  // One array for each state.
  void read_states(int32_t* const* integers);
  // Throws Error (kInput) when an integer is not on its state's grid; nothing has changed then.
  void write_states(const int32_t* const* integers);

 private:
  // For the time of one call; a second one at the same time is told that the stream is busy.
  std::unique_lock<std::mutex> hold();

  Model* model_;
  std::mutex mutex_;  // of what follows
  Model::States now_;
};

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_STREAM_H_
