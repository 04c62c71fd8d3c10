// SPDX-License-Identifier: Apache-2.0
// CRC-32 with the polynomial of zip and PNG.
#ifndef BITLENS_BASE_CRC32_H_
#define BITLENS_BASE_CRC32_H_

#include <cstddef>
#include <cstdint>

namespace bitlens {

uint32_t crc32(const uint8_t* bytes, size_t count);

}  // namespace bitlens

#endif  // BITLENS_BASE_CRC32_H_
