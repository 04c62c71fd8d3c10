// SPDX-License-Identifier: Apache-2.0
// Reads little-endian numbers from a buffer and never past its end.
#ifndef BITLENS_BASE_READER_H_
#define BITLENS_BASE_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace bitlens {

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  size_t at() const { return at_; }
  size_t left() const { return size_ - at_; }

  // Goes to a place where it has been.
  void go_back(size_t at) { at_ = at; }

  // The next `count` bytes, in place.
  const uint8_t* take(uint64_t count) {
    if (count > left()) {
      fail(ErrorCode::kFormat, "file: offset %zu must be followed by %llu bytes, not %zu", at_,
           static_cast<unsigned long long>(count), left());
    }
    const uint8_t* bytes = data_ + at_;
    at_ += static_cast<size_t>(count);
    return bytes;
  }

  uint8_t u8() { return *take(1); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  int32_t i32() { return static_cast<int32_t>(u32()); }

  // A signed number of 1 to 8 bytes.
  int64_t signed_number(int width) {
    const int unused = 64 - 8 * width;
    return static_cast<int64_t>(number(width) << unused) >> unused;
  }

  // `count` bytes of UTF-8. A name must fit on a line: no control characters.
  std::string utf8(uint32_t count, bool name) {
    const size_t start = at_;
    const uint8_t* bytes = take(count);
    if (!is_utf8(bytes, count)) fail(ErrorCode::kFormat, "file: text at offset %zu must be UTF-8", start);
    for (uint32_t i = 0; name && i < count; ++i) {
      if (bytes[i] >= 0x20 && bytes[i] != 0x7f) continue;
      fail(ErrorCode::kFormat, "file: text at offset %zu must have no control characters", start);
    }
    return std::string(reinterpret_cast<const char*>(bytes), count);
  }

 private:
  uint64_t number(int width) {
    const uint8_t* bytes = take(static_cast<uint64_t>(width));
    uint64_t value = 0;
    for (int i = 0; i < width; ++i) value |= uint64_t{bytes[i]} << (8 * i);
    return value;
  }

  static bool is_utf8(const uint8_t* bytes, size_t count);

  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

}  // namespace bitlens

#endif  // BITLENS_BASE_READER_H_
