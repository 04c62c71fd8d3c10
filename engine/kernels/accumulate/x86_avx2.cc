// SPDX-License-Identifier: Apache-2.0
// Accumulation, four doubles at a time.
#include <immintrin.h>

#include "kernels/accumulate/accumulate.h"

namespace bitlens {

void accumulate_avx2(const int32_t* sums, size_t count, float scale, double* total) {
  const __m256d factor = _mm256_set1_pd(scale);
  for (size_t k = 0; k < count; k += 4) {
    const __m256d sum = _mm256_cvtepi32_pd(_mm_load_si128(reinterpret_cast<const __m128i*>(sums + k)));
    _mm256_store_pd(total + k, _mm256_add_pd(_mm256_load_pd(total + k), _mm256_mul_pd(factor, sum)));
  }
}

}  // namespace bitlens
