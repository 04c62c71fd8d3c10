// SPDX-License-Identifier: Apache-2.0
// Drives a verilated top level from Python (ctypes): beats in, beats out, random pauses on both sides, cycles counted.
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "ports.h"
#include "verilated.h"

namespace {

// xorshift32: pauses must be the same on every machine
struct Random {
  uint32_t state;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  }
  bool pause(uint32_t per_256) { return (next() & 255) < per_256; }
};

}  // namespace

extern "C" {

// in: `beats` words of sizeof(s_data) bytes. out[i]: room for `wanted[i]` words of output i. Returns the number of cycles, or
// -1 when `most` cycles were not enough, -2 when the folder cannot be entered. first[i]: cycle in which output i gave its first
// beat. folder: where the memories' files are named from.
int64_t bitlens_simulate(const char* folder, const uint8_t* in, int64_t beats, uint8_t* const* out, const int64_t* wanted, int64_t* first,
                         uint32_t pause_in, uint32_t pause_out, uint32_t seed, int64_t most) {
  VerilatedContext context;
  Vtop top(&context);
  Random random{seed | 1};
  int64_t taken = 0, cycle = 0, got[OUTPUTS] = {};
  const auto tick = [&] {
    top.clk = 1;
    top.eval();
    top.clk = 0;
    top.eval();
  };
  char here[PATH_MAX];
  if (getcwd(here, sizeof here) == nullptr || chdir(folder) != 0) return -2;
  top.clk = 0;
  top.rst = 1;
  top.s_valid = 0;
  for (int i = 0; i < 4; ++i) tick();  // the first evaluation reads the memories
  if (chdir(here) != 0) return -2;
  top.rst = 0;
  bool offered = false;
  for (; cycle < most; ++cycle) {
    if (!offered && taken < beats && !(pause_in != 0 && random.pause(pause_in))) {
      std::memcpy(&top.s_data, in + taken * static_cast<int64_t>(sizeof top.s_data), sizeof top.s_data);
      offered = true;
    }
    top.s_valid = offered;
    bool done = true;
#define OUTPUT(i)                                                       \
  top.m##i##_ready = !(pause_out != 0 && random.pause(pause_out));      \
  done = done && got[i] == wanted[i];
    EACH_OUTPUT
#undef OUTPUT
    if (done) break;
    top.eval();
    if (offered && top.s_ready) {
      offered = false;
      ++taken;
    }
#define OUTPUT(i)                                                                                     \
  if (top.m##i##_valid && top.m##i##_ready && got[i] < wanted[i]) {                                   \
    if (got[i] == 0) first[i] = cycle;                                                                \
    std::memcpy(out[i] + got[i] * static_cast<int64_t>(sizeof top.m##i##_data), &top.m##i##_data,     \
                sizeof top.m##i##_data);                                                              \
    ++got[i];                                                                                         \
  }
    EACH_OUTPUT
#undef OUTPUT
    tick();
  }
  top.final();
  return cycle < most ? cycle : -1;
}
}
