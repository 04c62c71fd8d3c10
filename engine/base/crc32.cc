// SPDX-License-Identifier: Apache-2.0
#include "base/crc32.h"

#include <array>

namespace bitlens {
namespace {

constexpr int kSlices = 8;
using Tables = std::array<std::array<uint32_t, 256>, kSlices>;

// tables[0] advances by one byte, tables[k] by k further zero bytes, so that eight bytes take one round.
Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    tables[0][byte] = crc;
  }
  for (int k = 1; k < kSlices; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = crc >> 8 ^ tables[0][crc & 255];
    }
  }
  return tables;
}

}  // namespace

uint32_t crc32(const uint8_t* bytes, size_t count) {
  static const Tables tables = make_tables();
  uint32_t crc = ~uint32_t{0};
  for (; count >= kSlices; count -= kSlices, bytes += kSlices) {
    const uint32_t low =
        crc ^ (uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24);
    crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
          tables[3][bytes[4]] ^ tables[2][bytes[5]] ^ tables[1][bytes[6]] ^ tables[0][bytes[7]];
  }
  for (; count > 0; --count, ++bytes) crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 255];
  return ~crc;
}

}  // namespace bitlens
