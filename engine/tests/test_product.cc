// SPDX-License-Identifier: Apache-2.0
// bitlens_multiply against a product tap by tap, for every instruction set that is here.
#include <cstring>
#include <vector>

#include "bitlens.h"
#include "tests/check.h"

namespace bitlens {
namespace {

std::vector<int32_t> expected_of(const bitlens_product& p, int32_t out_h, int32_t out_w) {
  std::vector<int32_t> sums;
  for (int32_t n = 0; n < p.images; ++n)
    for (int32_t y = 0; y < out_h; ++y)
      for (int32_t x = 0; x < out_w; ++x)
        for (int32_t o = 0; o < p.outputs; ++o) {
          int32_t sum = 0;
          for (int32_t i = 0; i < p.kernel_h; ++i)
            for (int32_t j = 0; j < p.kernel_w; ++j) {
              const int32_t row = y * p.stride_h + i - p.pad_top, column = x * p.stride_w + j - p.pad_left;
              if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
              const uint8_t* code = p.codes + ((n * p.height + row) * p.width + column) * p.channels;
              for (int32_t c = 0; c < p.channels; ++c) {
                const int32_t taps = p.kernel_h * p.kernel_w, tap = i * p.kernel_w + j;
                const uint8_t weight = p.backward != 0 ? p.weights[(c * taps + taps - 1 - tap) * p.outputs + o]
                                                       : p.weights[(o * taps + tap) * p.channels + c];
                const int32_t left = p.backward != 0 ? 2 * code[c] - (1 << p.code_bits) + 1 : code[c];
                sum += left * (2 * weight - (1 << p.weight_bits) + 1);
              }
            }
          sums.push_back(sum);
        }
  return sums;
}

void check_case(Random* random, const char* isa) {
  const auto draw = [&](int64_t lo, int64_t hi) { return static_cast<int32_t>(random->between(lo, hi)); };
  bitlens_product p{};
  p.images = draw(1, 3), p.channels = draw(1, 70), p.outputs = draw(1, 70);
  p.code_bits = draw(1, 8), p.weight_bits = draw(1, 8), p.backward = draw(0, 1);
  p.kernel_h = draw(1, 3), p.kernel_w = draw(1, 3), p.stride_h = draw(1, 2), p.stride_w = draw(1, 2);
  p.pad_top = draw(0, 2), p.pad_left = draw(0, 2), p.pad_bottom = draw(0, 2), p.pad_right = draw(0, 2);
  p.height = draw(p.kernel_h, 7), p.width = draw(p.kernel_w, 7);
  std::vector<uint8_t> codes(static_cast<size_t>(p.images * p.height * p.width * p.channels));
  std::vector<uint8_t> weights(static_cast<size_t>(p.outputs * p.kernel_h * p.kernel_w * p.channels));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(draw(0, (1 << p.code_bits) - 1));
  for (uint8_t& weight : weights) weight = static_cast<uint8_t>(draw(0, (1 << p.weight_bits) - 1));
  p.codes = codes.data(), p.weights = weights.data();
  const int32_t out_h = (p.height + p.pad_top + p.pad_bottom - p.kernel_h) / p.stride_h + 1;
  const int32_t out_w = (p.width + p.pad_left + p.pad_right - p.kernel_w) / p.stride_w + 1;
  const std::vector<int32_t> expected = expected_of(p, out_h, out_w);
  std::vector<int32_t> sums(expected.size());
  bitlens_options options{};
  options.isa = isa;
  options.threads = draw(1, 3);
  bitlens_status status;
  const bitlens_code code = bitlens_multiply(&p, &options, sums.data(), &status);
  if (code == BITLENS_ARGUMENT && std::strncmp(status.message, "isa: ", 5) == 0) return;  // not on this processor
  CHECK(code == BITLENS_OK, "%s", status.message);
  CHECK(sums == expected, "%s: %d x %d bits, %dx%dx%d to %d, kernel %dx%d", isa, p.code_bits, p.weight_bits, p.height,
        p.width, p.channels, p.outputs, p.kernel_h, p.kernel_w);
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  Random random(11);
  for (const char* isa : {"portable", "avx2", "avx512", "neon"}) {
    for (int i = 0; i < 40; ++i) check_case(&random, isa);
  }
  bitlens_product wrong{};
  bitlens_status status;
  CHECK(bitlens_multiply(&wrong, nullptr, nullptr, &status) == BITLENS_ARGUMENT, "sizes of 0 are refused");
  CHECK(std::strcmp(status.message, "product: sizes must be at least 1, not 0") == 0, "%s", status.message);
  wrong.backward = 2;
  CHECK(bitlens_multiply(&wrong, nullptr, nullptr, &status) == BITLENS_ARGUMENT, "a direction of 2 is refused");
  CHECK(std::strcmp(status.message, "product: backward must be 0 or 1, not 2") == 0, "%s", status.message);
  const uint8_t code = 0;
  bitlens_product far{};
  far.codes = far.weights = &code;
  far.images = far.height = far.width = far.channels = far.outputs = far.code_bits = far.weight_bits = 1;
  far.kernel_h = far.kernel_w = far.stride_h = 1;
  far.stride_w = far.pad_left = 1 << 30;
  CHECK(bitlens_multiply(&far, nullptr, nullptr, &status) == BITLENS_ARGUMENT, "places beyond 32 bits are refused");
  CHECK(std::strcmp(status.message,
                    "product: padded sides plus twice the stride must be below 2^31, not 1073741825 + 2 * "
                    "1073741824") == 0,
        "%s", status.message);
  return failures == 0 ? 0 : 1;
}
