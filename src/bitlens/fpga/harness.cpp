// SPDX-License-Identifier: Apache-2.0
// Drives a verilated top level from Python (ctypes): beats in, beats out, random pauses on both sides, cycles counted.
// Each handle is a circuit of its own, so that several threads may simulate at once.
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstring>
#include <string>

#include "Vtop.h"
#include "pauses.h"
#include "ports.h"
#include "verilated.h"
#include "verilated_sym_props.h"
#include "verilated_syms.h"

namespace {

struct Circuit {
  VerilatedContext context;
  Vtop top{&context};
  ~Circuit() { top.final(); }
  // A clock cycle, of which the first half is evaluated already.
  void finish_cycle() {
    top.clk = 1;
    top.eval();
    top.clk = 0;
  }
};

}  // namespace

extern "C" {

// A circuit after reset, or null when the folder cannot be entered. folder: where the memories' files are named from. The
// process is in that folder meanwhile: calls must not overlap.
void* bitlens_open(const char* folder) {
  char here[PATH_MAX];
  if (getcwd(here, sizeof here) == nullptr || chdir(folder) != 0) return nullptr;
  auto* circuit = new Circuit;
  Vtop& top = circuit->top;
  top.clk = 0;
  top.rst = 1;
  top.s_valid = 0;
  for (int i = 0; i < 4; ++i) {  // the first evaluation reads the memories
    top.eval();
    circuit->finish_cycle();
  }
  top.rst = 0;
  if (chdir(here) == 0) return circuit;
  delete circuit;
  return nullptr;
}

void bitlens_close(void* handle) { delete static_cast<Circuit*>(handle); }

// Writes the names of the queues that are full, a comma behind each, as far as they fit: who stands still and why.
void bitlens_full(void* handle, char* text, int64_t size) {
  std::string names;
  for (const auto& [name, scope] : *static_cast<Circuit*>(handle)->context.scopeNameMap()) {
    const VerilatedVar* full = scope->varFind("full");
    if (full != nullptr && *static_cast<const CData*>(full->datap()) != 0) names += std::string(name) + ',';
  }
  std::strncpy(text, names.c_str(), size - 1);
}

// in: `beats` words of sizeof(s_data) bytes. out[i]: room for `images` times `wanted[i]` words of output i. ends[n]: the cycle in
// which image n was out whole; first: in which the first beat of any output came. done: images that are out, for who watches.
// Returns the number of cycles, or -1 when `most` cycles were not enough.
int64_t bitlens_run(void* handle, const uint8_t* in, int64_t beats, uint8_t* const* out, const int64_t* wanted, int64_t images,
                    int64_t* ends, int64_t* first, volatile int64_t* done, uint64_t pause_in, uint64_t pause_out, uint64_t seed,
                    int64_t most) {
  Circuit& circuit = *static_cast<Circuit*>(handle);
  Vtop& top = circuit.top;
  Random random{seed};
  int64_t taken = 0, cycle = 0, got[OUTPUTS] = {};
  *first = -1;
  *done = 0;
  bool offered = false;
  for (; cycle < most && *done < images; ++cycle) {
    if (!offered && taken < beats && !random.pause(pause_in)) {
      std::memcpy(&top.s_data, in + taken * static_cast<int64_t>(sizeof top.s_data), sizeof top.s_data);
      offered = true;
    }
    top.s_valid = offered;
#define OUTPUT(i) top.m##i##_ready = !random.pause(pause_out);
    EACH_OUTPUT
#undef OUTPUT
    top.eval();
    if (offered && top.s_ready) {
      offered = false;
      ++taken;
    }
    bool whole = true;  // whether every output has this image
#define OUTPUT(i)                                                                                     \
  if (top.m##i##_valid && top.m##i##_ready && got[i] < images * wanted[i]) {                          \
    if (*first < 0) *first = cycle;                                                                   \
    std::memcpy(out[i] + got[i] * static_cast<int64_t>(sizeof top.m##i##_data), &top.m##i##_data,     \
                sizeof top.m##i##_data);                                                              \
    ++got[i];                                                                                         \
  }                                                                                                   \
  whole = whole && got[i] >= (*done + 1) * wanted[i];
    EACH_OUTPUT
#undef OUTPUT
    circuit.finish_cycle();
    if (whole) {
      ends[*done] = cycle;
      *done = *done + 1;
    }
  }
  return *done == images ? cycle : -1;
}
}
