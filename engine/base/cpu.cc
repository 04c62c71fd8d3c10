// SPDX-License-Identifier: Apache-2.0
#include "base/cpu.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bitlens {
namespace {

#if defined(__x86_64__)
uint64_t enabled_states() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

uint32_t detect() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return 0;
  const uint64_t states = enabled_states();
  constexpr uint64_t kYmm = 0x06, kZmm = 0xe6;  // xmm and ymm; plus opmask and both halves of zmm
  uint32_t features = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if ((states & kYmm) == kYmm && (b & bit_AVX2) != 0) features |= kAvx2;
  constexpr uint32_t kBase = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
  if ((states & kZmm) != kZmm || (b & kBase) != kBase || features == 0) return features;
  features |= kAvx512;
  if (c & bit_AVX512VPOPCNTDQ) features |= kAvx512Vpopcntdq;
  if (c & bit_AVX512VBMI) features |= kAvx512Vbmi;
  if (c & bit_AVX512BITALG) features |= kAvx512Bitalg;
  if (c & bit_AVX512VNNI) features |= kAvx512Vnni;
  return features;
}
#elif defined(__aarch64__)
uint32_t detect() {
  uint32_t features = kNeon;  // part of the architecture
#if defined(__linux__) && defined(HWCAP_ASIMDDP)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) features |= kNeonDotprod;
#endif
  return features;
}
#else
uint32_t detect() { return 0; }
#endif

}  // namespace

uint32_t cpu_features() {
  static const uint32_t features = detect();
  return features;
}

bool isa_mask(const char* isa, uint32_t* mask) {
  if (isa == nullptr || *isa == '\0') {
    *mask = ~uint32_t{0};
  } else if (std::strcmp(isa, "portable") == 0) {
    *mask = 0;
  } else if (std::strcmp(isa, "avx2") == 0) {
    *mask = kAvx2;
  } else if (std::strcmp(isa, "avx512") == 0) {
    *mask = kAvx2 | kAvx512 | kAvx512Vpopcntdq | kAvx512Vbmi | kAvx512Bitalg | kAvx512Vnni;
  } else if (std::strcmp(isa, "neon") == 0) {
    *mask = kNeon | kNeonDotprod;
  } else {
    return false;
  }
  return true;
}

uint32_t isa_lead(const char* isa) {
  if (isa == nullptr) return 0;
  if (std::strcmp(isa, "avx2") == 0) return kAvx2;
  if (std::strcmp(isa, "avx512") == 0) return kAvx512;
  if (std::strcmp(isa, "neon") == 0) return kNeon;
  return 0;
}

}  // namespace bitlens
