// SPDX-License-Identifier: Apache-2.0
// Places buffers in one arena so that those alive at the same step never overlap.
#ifndef BITLENS_PROGRAM_ARENA_H_
#define BITLENS_PROGRAM_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bitlens {

class ArenaPlan {
 public:
  // Throws Error (kMemory) when more than `limit` bytes are needed; `keep_all` lets every buffer live to the end.
  ArenaPlan(uint64_t limit, bool keep_all) : limit_(limit), keep_all_(keep_all) {}

  // A buffer born at `step`; returns its number. Births come in ascending order.
  uint32_t add(uint64_t bytes, size_t step);

  // The buffer is read or written at `step`.
  void use(uint32_t buffer, size_t step);

  // The buffer lives to the end.
  void keep(uint32_t buffer);

  // Places all buffers; returns the bytes of the arena. `other_bytes` count towards the limit.
  uint64_t place(uint64_t other_bytes);

  uint64_t offset(uint32_t buffer) const { return buffers_[buffer].offset; }

 private:
  struct Buffer {
    uint64_t bytes;
    size_t born, last;
    uint64_t offset;
  };

  uint64_t limit_;
  bool keep_all_;
  std::vector<Buffer> buffers_;
};

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_ARENA_H_
