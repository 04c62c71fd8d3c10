// SPDX-License-Identifier: Apache-2.0
// A vector of bytes that starts on a 64-byte boundary.
#ifndef BITLENS_BASE_ALIGNED_H_
#define BITLENS_BASE_ALIGNED_H_

#include <cstddef>
#include <cstdint>
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

using AlignedBytes = std::vector<uint8_t, AlignedAllocator<uint8_t>>;

}  // namespace bitlens

#endif  // BITLENS_BASE_ALIGNED_H_
