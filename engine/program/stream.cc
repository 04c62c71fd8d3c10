// SPDX-License-Identifier: Apache-2.0
#include "program/stream.h"

#include <algorithm>

#include "base/error.h"

namespace bitlens {

Stream::Stream(Model* model) : model_(model), now_(model->initial_states()) {
  if (now_.empty()) fail(ErrorCode::kArgument, "stream: program must have states, not none; run it image by image");
}

std::unique_lock<std::mutex> Stream::hold() {
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) fail(ErrorCode::kBusy, "stream: must not be used by two threads at once");
  return lock;
}

void Stream::reset() {
  const auto lock = hold();
  now_ = model_->initial_states();
}

void Stream::run(size_t steps, const bitlens_view* inputs, int32_t* const* outputs) {
  const auto lock = hold();
  Model::States next = now_;
  model_->run_sequence(steps, inputs, outputs, &next);
  now_ = std::move(next);
}

void Stream::read_states(int32_t* const* integers) {
  const auto lock = hold();
  for (size_t i = 0; i < now_.size(); ++i) std::copy(now_[i].begin(), now_[i].end(), integers[i]);
}

void Stream::write_states(const int32_t* const* integers) {
  const auto lock = hold();
  for (size_t i = 0; i < now_.size(); ++i) model_->check_state(i, integers[i]);
  for (size_t i = 0; i < now_.size(); ++i) std::copy_n(integers[i], now_[i].size(), now_[i].begin());
}

}  // namespace bitlens
