// SPDX-License-Identifier: Apache-2.0
// Which epilogue ends a step, and its tables.
#ifndef BITLENS_PROGRAM_PLAN_EPILOGUE_H_
#define BITLENS_PROGRAM_PLAN_EPILOGUE_H_

#include "program/blob.h"
#include "program/plan.h"
#include "program/plan_conv.h"
#include "program/program.h"

namespace bitlens {

// Whether the result of an op that ends in `final` (steps, rescale, or nothing: a plain store) can be written in
// `storage` without a pass of its own. `operand` is the grid of what `final` reads.
bool can_store(const Op* final, const Grid& operand, const Grid& result, Storage storage);

// Fills `epilogue` with tables that undo `fold` and apply `final` (nullptr: a plain store) into `output`. Returns the
// features that the chosen kernel needs.
uint32_t plan_epilogue(const Op* final, const Grid& operand, const Fold& fold, const PlanTensor& output,
                       uint32_t features, Blob* blob, PlanEpilogue* epilogue);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PLAN_EPILOGUE_H_
