// SPDX-License-Identifier: Apache-2.0
// What this processor can do, and which of it we may use.
//
// A feature counts only when the CPUID bit and the operating system's register state (XCR0) agree. Features are tested
// one by one: an AVX-512 machine may lack any of VPOPCNTDQ, VBMI, BITALG and VNNI.
#ifndef BITLENS_BASE_CPU_H_
#define BITLENS_BASE_CPU_H_

#include <cstdint>

namespace bitlens {

// One bit per feature. A kernel names all that it needs; the portable one needs 0.
enum Feature : uint32_t {
  kAvx2 = 1u << 0,
  kAvx512 = 1u << 1,  // F, BW, VL and DQ together
  kAvx512Vpopcntdq = 1u << 2,
  kAvx512Vbmi = 1u << 3,
  kAvx512Bitalg = 1u << 4,
  kAvx512Vnni = 1u << 5,
  kNeon = 1u << 8,
  kNeonDotprod = 1u << 9,
};

// Features of this processor under this operating system.
uint32_t cpu_features();

// The features that instruction set `isa` ("portable", "avx2", "avx512", "neon") allows; all of them for "" and
// nullptr. Returns false for another name.
bool isa_mask(const char* isa, uint32_t* mask);

// The one feature without which asking for `isa` makes no sense: AVX2, AVX-512, NEON; 0 for the others.
uint32_t isa_lead(const char* isa);

}  // namespace bitlens

#endif  // BITLENS_BASE_CPU_H_
