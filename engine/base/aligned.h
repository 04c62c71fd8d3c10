// SPDX-License-Identifier: Apache-2.0
// Bytes that start on a 64-byte boundary.
#ifndef BITLENS_BASE_ALIGNED_H_
#define BITLENS_BASE_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace bitlens {

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT: conversion is what the standard asks for
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})); }
  void deallocate(T* pointer, size_t) { ::operator delete(pointer, std::align_val_t{64}); }
  template <typename U>
  bool operator==(const AlignedAllocator<U>&) const {
    return true;
  }
  template <typename U>
  bool operator!=(const AlignedAllocator<U>&) const {
    return false;
  }
};

// A vector of bytes.
using AlignedBytes = std::vector<uint8_t, AlignedAllocator<uint8_t>>;

// Zero bytes that cost memory only where they are touched (calloc asks the system for fresh pages). Throws bad_alloc.
class ZeroedBytes {
 public:
  explicit ZeroedBytes(size_t count) : memory_(std::calloc(1, count + 64), std::free) {
    if (memory_ == nullptr) throw std::bad_alloc();
  }

  uint8_t* data() const {
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    return reinterpret_cast<uint8_t*>((address + 63) / 64 * 64);
  }

 private:
  std::unique_ptr<void, void (*)(void*)> memory_;
};

}  // namespace bitlens

#endif  // BITLENS_BASE_ALIGNED_H_
