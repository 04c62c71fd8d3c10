// SPDX-License-Identifier: Apache-2.0
// One strip of output pixels of one step: tiles of sums for one block of channels after the other, each ended by the
// epilogue.
#ifndef BITLENS_PROGRAM_STRIP_H_
#define BITLENS_PROGRAM_STRIP_H_

#include "program/execute.h"

namespace bitlens {

struct StripJob {
  const uint8_t* plan;
  const PlanStep* step;
  const Arena* arena;
  const LoadFunction* loads;
  ConvFunction conv;
  EpilogueFunction epilogue;
  uint8_t* scratch;  // sums, a second tile, patches
  int64_t first;     // output pixel
  int32_t pixels;
  int32_t block_begin, block_end;
};

void run_strip(const StripJob& job);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_STRIP_H_
