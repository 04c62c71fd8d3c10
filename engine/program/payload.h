// SPDX-License-Identifier: Apache-2.0
// Parts of a `.bitlens` file that read.cc puts together; see docs/format.md.
#ifndef BITLENS_PROGRAM_PAYLOAD_H_
#define BITLENS_PROGRAM_PAYLOAD_H_

#include <cstdint>

#include "base/reader.h"
#include "program/program.h"

namespace bitlens {

// A grid. Throws Error(kFormat) where it breaks a rule.
Grid read_grid(Reader* in);

// What belongs to an op alone, such as its weights or its table.
//
// name: of the op, for errors. channels: of its first operand. result: the grid of its result. op: its opcode is known,
// the rest is filled in. Throws Error(kFormat) where a rule is broken or bytes are missing; no memory is taken before.
void read_payload(Reader* in, const char* name, uint32_t channels, const Grid& result, Op* op);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PAYLOAD_H_
