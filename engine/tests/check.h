// SPDX-License-Identifier: Apache-2.0
// What the engine's tests share: a check that counts, and random numbers that are the same everywhere.
#ifndef BITLENS_TESTS_CHECK_H_
#define BITLENS_TESTS_CHECK_H_

#include <cstdint>
#include <cstdio>

namespace bitlens {

inline int failures = 0;

// Counts and prints a failed condition; the first 20 are printed.
#define CHECK(condition, ...)                                                     \
  do {                                                                            \
    if (!(condition) && ++::bitlens::failures <= 20) {                            \
      std::fprintf(stderr, "%s:%d: %s failed: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                          \
      std::fputc('\n', stderr);                                                   \
    }                                                                             \
  } while (false)

// xorshift64*.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2654435769u + 1) {}

  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717u;
  }

  // lo..hi
  int64_t between(int64_t lo, int64_t hi) {
    return lo + static_cast<int64_t>((next() >> 11) % static_cast<uint64_t>(hi - lo + 1));
  }

 private:
  uint64_t state_;
};

}  // namespace bitlens

#endif  // BITLENS_TESTS_CHECK_H_
