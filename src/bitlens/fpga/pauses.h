// SPDX-License-Identifier: Apache-2.0
// When the two sides of a simulated circuit pause: at random, and on every machine alike.
#pragma once

#include <cstdint>

// xorshift32
struct Random {
  uint32_t state;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  }
  // Draws nothing where there are no pauses.
  bool pause(uint32_t per_256) { return per_256 != 0 && (next() & 255) < per_256; }
};
