// SPDX-License-Identifier: Apache-2.0
// A convolution whose both sides change from call to call: what training multiplies with, in all three directions.
//
// Nothing is planned ahead: both sides come as codes, a byte each, are packed, and meet in the kernels of kernels/conv.
#ifndef BITLENS_PROGRAM_PRODUCT_H_
#define BITLENS_PROGRAM_PRODUCT_H_

#include "bitlens.h"

namespace bitlens {

// Throws Error (kArgument) where sizes do not fit or sums might pass 28 bits.
void multiply(const bitlens_product& product, uint32_t features, int threads, int32_t* sums);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PRODUCT_H_
