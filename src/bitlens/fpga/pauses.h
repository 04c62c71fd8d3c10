// SPDX-License-Identifier: Apache-2.0
// When the two sides of a simulated circuit pause: at random, and on every machine alike.
#pragma once

#include <cstdint>

// Every seed gives numbers of its own: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
// 2014).
struct Random {
  uint64_t state;
  uint32_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
  }
  // With probability often / 2^32. Draws nothing where there are no pauses.
  bool pause(uint64_t often) { return often != 0 && next() < often; }
};
