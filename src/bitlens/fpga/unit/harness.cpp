// SPDX-License-Identifier: Apache-2.0
// Drives a verilated execution unit from Python (ctypes) as a processor and a memory would: the memory answers bursts after
// some cycles, one word a cycle, and pauses at random if asked. Each handle is a unit of its own.
#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "pauses.h"
#include "ports.h"
#include "verilated.h"

namespace {

struct Unit {
  VerilatedContext context;
  Vtop top{&context};
  ~Unit() { top.final(); }
  void finish_cycle() {
    top.aclk = 1;
    top.eval();
    top.aclk = 0;
  }
};

}  // namespace

extern "C" {

// A unit after reset.
void* unit_open() {
  auto* unit = new Unit;
  Vtop& top = unit->top;
  top.aclk = 0;
  top.aresetn = 0;
  top.go = top.read_ready = top.read_data_valid = top.write_ready = top.write_data_ready = 0;
  for (int i = 0; i < 4; ++i) {
    top.eval();
    unit->finish_cycle();
  }
  top.aresetn = 1;
  return unit;
}

void unit_close(void* handle) { delete static_cast<Unit*>(handle); }

// Runs the program at word `program` of a memory of `words` words, WORD_BYTES each, and changes the memory. ends[n]: the cycle in
// which layer n was done; traffic: words read and written. latency: cycles from a burst's grant to its first word, at least 1.
// Returns the cycles from `go` to `done`, -1 when `most` were not enough, -2 for a burst that leaves the memory.
int64_t unit_run(void* handle, uint8_t* memory, int64_t words, uint32_t program, int64_t* ends, int64_t layers, int64_t* traffic,
                 int64_t latency, uint64_t pause, uint64_t seed, int64_t most) {
  Unit& unit = *static_cast<Unit*>(handle);
  Vtop& top = unit.top;
  Random random{seed};
  int64_t read_place = 0, read_left = 0, read_wait = 0, write_place = 0, write_left = 0, layer = 0;
  traffic[0] = traffic[1] = 0;
  for (int64_t cycle = 0; cycle < most; ++cycle) {
    top.go = cycle == 0;
    top.program_address = program;
    const bool ready = read_left == 0 && !random.pause(pause);
    const bool word = read_left != 0 && read_wait == 0 && !random.pause(pause);
    top.read_ready = ready;
    top.read_data_valid = word;
    if (word) std::memcpy(&top.read_data, memory + read_place * WORD_BYTES, WORD_BYTES);
    top.write_ready = write_left == 0 && !random.pause(pause);
    top.write_data_ready = write_left != 0 && !random.pause(pause);
    top.eval();
    if (top.write_data_valid && top.write_data_ready) {
      std::memcpy(memory + write_place * WORD_BYTES, &top.write_data, WORD_BYTES);
      ++write_place, --write_left, ++traffic[1];
    }
    if (top.write_valid && top.write_ready) {
      write_place = top.write_address;
      write_left = top.write_words;
      if (write_place + write_left > words) return -2;
    }
    if (read_wait != 0) --read_wait;
    if (word) ++read_place, --read_left, ++traffic[0];
    if (top.read_valid && ready) {
      read_place = top.read_address;
      read_left = top.read_words;
      read_wait = latency - 1;
      if (read_place + read_left > words) return -2;
    }
    if (top.layer_done && layer < layers) ends[layer++] = cycle;
    if (cycle != 0 && top.done) return cycle;
    unit.finish_cycle();
  }
  return -1;
}
}
