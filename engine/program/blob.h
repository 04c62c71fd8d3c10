// SPDX-License-Identifier: Apache-2.0
// The growing bytes of a plan.
#ifndef BITLENS_PROGRAM_BLOB_H_
#define BITLENS_PROGRAM_BLOB_H_

#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/aligned.h"
#include "base/error.h"
#include "program/plan.h"

namespace bitlens {

class Blob {
 public:
  explicit Blob(uint64_t limit) : limit_(limit) { reserve(sizeof(PlanHeader)); }

  // `count` zero bytes on a 64-byte boundary; returns their offset.
  uint64_t reserve(uint64_t count) {
    const uint64_t offset = (bytes_.size() + 63) / 64 * 64;
    if (count > limit_ || offset + count > limit_) {
      fail(ErrorCode::kMemory, "program: memory must be at most %llu bytes, not %llu",
           static_cast<unsigned long long>(limit_), static_cast<unsigned long long>(offset + count));
    }
    bytes_.resize(offset + count);
    return offset;
  }

  // Valid until the next reserve.
  template <typename T = uint8_t>
  T* at(uint64_t offset) {
    return reinterpret_cast<T*>(bytes_.data() + offset);
  }

  template <typename T>
  PlanArray array(const std::vector<T>& values) {
    const uint64_t offset = reserve(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(bytes_.data() + offset, values.data(), values.size() * sizeof(T));
    return {offset, values.size()};
  }

  uint64_t text(const std::string& text) {
    const auto known = texts_.find(text);
    if (known != texts_.end()) return known->second;
    const uint64_t offset = reserve(text.size() + 1);
    std::memcpy(bytes_.data() + offset, text.c_str(), text.size() + 1);
    return texts_[text] = offset;
  }

  uint64_t size() const { return bytes_.size(); }
  AlignedBytes take() { return std::move(bytes_); }

 private:
  uint64_t limit_;
  AlignedBytes bytes_;
  std::unordered_map<std::string, uint64_t> texts_;
};

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_BLOB_H_
