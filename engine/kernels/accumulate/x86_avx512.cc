// SPDX-License-Identifier: Apache-2.0
// Accumulation, eight doubles at a time.
#include <immintrin.h>

#include "kernels/accumulate/accumulate.h"

namespace bitlens {

void accumulate_avx512(const int32_t* sums, size_t count, float scale, double* total) {
  const __m512d factor = _mm512_set1_pd(scale);
  for (size_t k = 0; k < count; k += 8) {
    const __m512d sum = _mm512_cvtepi32_pd(_mm256_load_si256(reinterpret_cast<const __m256i*>(sums + k)));
    _mm512_store_pd(total + k, _mm512_fmadd_pd(factor, sum, _mm512_load_pd(total + k)));
  }
}

}  // namespace bitlens
