// SPDX-License-Identifier: Apache-2.0
#include "base/reader.h"

namespace bitlens {

// Shortest forms only, no surrogates, nothing above U+10FFFF (RFC 3629).
bool Reader::is_utf8(const uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count;) {
    const uint8_t head = bytes[i++];
    if (head < 0x80) continue;
    const int more = head >= 0xF0 ? 3 : head >= 0xE0 ? 2 : 1;
    if (head < 0xC2 || head > 0xF4 || count - i < static_cast<size_t>(more)) return false;
    uint32_t point = head & (0x3Fu >> more);
    for (int k = 0; k < more; ++k) {
      const uint8_t tail = bytes[i++];
      if ((tail & 0xC0) != 0x80) return false;
      point = point << 6 | (tail & 0x3Fu);
    }
    const uint32_t least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
  }
  return true;
}

}  // namespace bitlens
