// SPDX-License-Identifier: Apache-2.0
#include "program/arena.h"

#include <algorithm>
#include <map>
#include <queue>

#include "base/error.h"

namespace bitlens {
namespace {

constexpr size_t kForever = ~size_t{0};

// Gaps by offset; neighbours are joined.
class Gaps {
 public:
  // Takes `bytes` from the smallest gap that holds them, or from the end of the arena.
  uint64_t take(uint64_t bytes) {
    auto best = gaps_.end();
    for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
      if (gap->second >= bytes && (best == gaps_.end() || gap->second < best->second)) best = gap;
    }
    uint64_t offset = end_;
    if (best == gaps_.end()) {
      end_ += bytes;
      return offset;
    }
    offset = best->first;
    const uint64_t left = best->second - bytes;
    gaps_.erase(best);
    if (left > 0) gaps_[offset + bytes] = left;
    return offset;
  }

  void give(uint64_t offset, uint64_t bytes) {
    auto gap = gaps_.emplace(offset, bytes).first;
    const auto next = std::next(gap);
    if (next != gaps_.end() && gap->first + gap->second == next->first) {
      gap->second += next->second;
      gaps_.erase(next);
    }
    if (gap == gaps_.begin()) return;
    const auto before = std::prev(gap);
    if (before->first + before->second == gap->first) {
      before->second += gap->second;
      gaps_.erase(gap);
    }
  }

  uint64_t end() const { return end_; }

 private:
  std::map<uint64_t, uint64_t> gaps_;
  uint64_t end_ = 0;
};

}  // namespace

uint32_t ArenaPlan::add(uint64_t bytes, size_t step) {
  buffers_.push_back({(bytes + 63) / 64 * 64, step, keep_all_ ? kForever : step, 0});
  return static_cast<uint32_t>(buffers_.size() - 1);
}

void ArenaPlan::use(uint32_t buffer, size_t step) { buffers_[buffer].last = std::max(buffers_[buffer].last, step); }

void ArenaPlan::keep(uint32_t buffer) { buffers_[buffer].last = kForever; }

uint64_t ArenaPlan::place(uint64_t other_bytes) {
  using Death = std::pair<size_t, size_t>;  // last step, buffer
  std::priority_queue<Death, std::vector<Death>, std::greater<>> alive;
  Gaps gaps;
  for (size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& buffer = buffers_[i];
    for (; !alive.empty() && alive.top().first < buffer.born; alive.pop()) {
      const Buffer& dead = buffers_[alive.top().second];
      gaps.give(dead.offset, dead.bytes);
    }
    buffer.offset = gaps.take(buffer.bytes);
    alive.emplace(buffer.last, i);
    if (gaps.end() > limit_ || gaps.end() + other_bytes > limit_) {
      fail(ErrorCode::kMemory, "program: memory must be at most %llu bytes, not %llu",
           static_cast<unsigned long long>(limit_), static_cast<unsigned long long>(gaps.end() + other_bytes));
    }
  }
  return gaps.end();
}

}  // namespace bitlens
