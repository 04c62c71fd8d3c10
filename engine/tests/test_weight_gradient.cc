// SPDX-License-Identifier: Apache-2.0
// bitlens_weight_sums and bitlens_weight_total against sums term by term, for every instruction set that is here; and
// their packing against the order that quads.h states.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "bitlens.h"
#include "kernels/conv/quads.h"
#include "tests/check.h"

namespace bitlens {
namespace {

std::vector<int32_t> expected_of(const bitlens_weight_gradient& p) {
  std::vector<int32_t> sums;
  for (int32_t n = 0; n < p.images; ++n)
    for (int32_t i = 0; i < p.kernel_h; ++i)
      for (int32_t j = 0; j < p.kernel_w; ++j)
        for (int32_t c = 0; c < p.channels; ++c)
          for (int32_t o = 0; o < p.outputs; ++o) {
            int32_t sum = 0;
            for (int32_t y = 0; y < p.out_height; ++y)
              for (int32_t x = 0; x < p.out_width; ++x) {
                const int32_t row = y * p.stride_h + i - p.pad_h, column = x * p.stride_w + j - p.pad_w;
                if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
                const uint8_t code = p.activations[((n * p.height + row) * p.width + column) * p.channels + c];
                const uint8_t gradient = p.gradients[((n * p.out_height + y) * p.out_width + x) * p.outputs + o];
                sum += code * (2 * gradient - (1 << p.gradient_bits) + 1);
              }
            sums.push_back(sum);
          }
  return sums;
}

std::vector<uint8_t> random_codes(Random* random, int32_t count, int32_t bits) {
  std::vector<uint8_t> codes(static_cast<size_t>(count));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random->between(0, (1 << bits) - 1));
  return codes;
}

void check_case(Random* random, const char* isa) {
  const auto draw = [&](int64_t lo, int64_t hi) { return static_cast<int32_t>(random->between(lo, hi)); };
  bitlens_weight_gradient p{};
  const bool wide = draw(0, 5) == 0;  // more positions than a kernel is given at a time
  p.images = draw(1, 3), p.channels = draw(1, wide ? 3 : 33), p.outputs = draw(1, wide ? 18 : 70);
  p.activation_bits = draw(1, 8), p.gradient_bits = draw(1, 8);
  p.kernel_h = draw(1, 3), p.kernel_w = draw(1, 3), p.stride_h = draw(1, 3), p.stride_w = draw(1, 3);
  p.pad_h = draw(0, 3), p.pad_w = draw(0, 3);
  p.height = draw(p.kernel_h, 7), p.width = draw(p.kernel_w, wide ? 1500 : 30);
  p.out_height = (p.height + 2 * p.pad_h - p.kernel_h) / p.stride_h + 1;
  p.out_width = (p.width + 2 * p.pad_w - p.kernel_w) / p.stride_w + 1;
  const auto activations = random_codes(random, p.images * p.height * p.width * p.channels, p.activation_bits);
  const auto gradients = random_codes(random, p.images * p.out_height * p.out_width * p.outputs, p.gradient_bits);
  p.activations = activations.data(), p.gradients = gradients.data();
  const std::vector<int32_t> expected = expected_of(p);
  std::vector<int32_t> sums(expected.size());
  bitlens_options options{};
  options.isa = isa;
  options.threads = draw(1, 3);
  bitlens_status status;
  const bitlens_code code = bitlens_weight_sums(&p, &options, sums.data(), &status);
  if (code == BITLENS_ARGUMENT && std::strncmp(status.message, "isa: ", 5) == 0) return;  // not on this processor
  CHECK(code == BITLENS_OK, "%s", status.message);
  CHECK(sums == expected, "%s: %d x %d bits, %dx%dx%d to %d, kernel %dx%d", isa, p.activation_bits, p.gradient_bits,
        p.height, p.width, p.channels, p.outputs, p.kernel_h, p.kernel_w);

  const float scales[3] = {0.1F, -3e-7F, 5e4F};
  std::vector<float> total(expected.size() / static_cast<size_t>(p.images));
  CHECK(bitlens_weight_total(&p, scales, &options, total.data(), &status) == BITLENS_OK, "%s", status.message);
  for (size_t k = 0; k < total.size(); ++k) {
    double sum = 0;
    for (size_t n = 0; n < static_cast<size_t>(p.images); ++n)
      sum += double{scales[n]} * expected[n * total.size() + k];
    if (total[k] != static_cast<float>(sum)) {
      CHECK(false, "%s: total %zu is %g, not %g", isa, k, double{total[k]}, sum);
      return;
    }
  }
}

void check_packing(Random* random) {
  for (size_t count = 1; count <= 17; ++count)
    for (size_t channels = 1; channels <= 17; ++channels) {
      const auto pixels = random_codes(random, static_cast<int32_t>(count * (channels + 3)), 8);
      std::vector<uint8_t> planes(channels * 20);
      transpose_bytes(pixels.data(), channels + 3, count, channels, planes.data(), 20);
      for (size_t c = 0; c < channels; ++c)
        for (size_t i = 0; i < 20; ++i) {
          CHECK(planes[c * 20 + i] == (i < count ? pixels[i * (channels + 3) + c] : 0), "%zu of %zu, %zu of %zu", i,
                count, c, channels);
        }
    }
  for (int32_t bits = 1; bits <= 8; ++bits)
    for (size_t lanes = 1; lanes <= 33; ++lanes) {
      const auto codes = random_codes(random, static_cast<int32_t>(3 * lanes), bits);
      const uint8_t* const rows[4] = {codes.data(), nullptr, codes.data() + lanes, codes.data() + 2 * lanes};
      std::vector<uint8_t> panel(3 * 80, 99);
      pack_quads(rows, OddBytes(bits), lanes, panel.data(), 80);
      for (size_t n = 0; n < (lanes + 15) / 16 * 16; ++n)
        for (size_t t = 0; t < 4; ++t) {
          const int32_t code = n < lanes && rows[t] != nullptr ? rows[t][n] : -1;
          const int32_t integer = code < 0 ? 0 : bits == 8 ? code - 128 : 2 * code - (1 << bits) + 1;
          CHECK(static_cast<int8_t>(panel[n / 16 * 80 + n % 16 * 4 + t]) == integer,
                "%d bits, lane %zu of %zu, term %zu", bits, n, lanes, t);
        }
    }
}

void check_refused(const bitlens_weight_gradient& wrong, const char* message) {
  bitlens_status status;
  CHECK(bitlens_weight_sums(&wrong, nullptr, nullptr, &status) == BITLENS_ARGUMENT, "%s: is refused", message);
  CHECK(std::strcmp(status.message, message) == 0, "%s, not: %s", message, status.message);
}

// None reads a code or allocates: sizes alone are looked at.
void check_refusals() {
  check_refused({}, "weight gradient: sizes must be at least 1, not 0");
  const auto sized = [](int32_t images, int32_t channels, int32_t side, int32_t kernel, int32_t stride, int32_t pad) {
    bitlens_weight_gradient p{};
    p.images = images, p.channels = channels, p.outputs = 1, p.activation_bits = p.gradient_bits = 1;
    p.height = p.width = side, p.kernel_h = p.kernel_w = kernel;
    p.stride_h = p.stride_w = stride, p.pad_h = p.pad_w = pad;
    p.out_height = p.out_width = static_cast<int32_t>((side + 2 * int64_t{pad} - kernel) / stride + 1);
    return p;
  };
  const char* const places = "weight gradient: padded sides plus twice the stride must be below 2^31, not ";
  check_refused(sized(1, 1, 2, 1, INT32_MAX, 0), (std::string(places) + "2 + 2 * 2147483647").c_str());
  check_refused(sized(1, 1, 4, 3, 1 << 30, 1 << 30), (std::string(places) + "2147483652 + 2 * 1073741824").c_str());
  bitlens_weight_gradient high = sized(1, 1, 2, 1, 1, 0);
  high.stride_h = 1 << 30, high.out_height = 1;
  check_refused(high, (std::string(places) + "2 + 2 * 1073741824").c_str());
  check_refused(sized(1, 1, 1, 90001, 1, 45000),
                "weight gradient: planes of a channel must be below 2^31 bytes, not 4.05e+09");
  check_refused(sized(1, 1, 1, 60001, 60001, 30000),
                "weight gradient: planes of a channel must be below 2^31 bytes, not 1.44e+10");
  check_refused(sized(1 << 30, 1 << 30, 2, 2, 2, 0),
                "weight gradient: packed codes must be below 2^48 bytes, not 1.845e+19");
}

// A stride of any length that is not refused takes one position of the image.
void check_long_stride() {
  const uint8_t activations[4] = {1, 2, 3, 0}, gradient = 1;
  const int32_t stride = (INT32_MAX - 2) / 2;
  const bitlens_weight_gradient p{activations, &gradient, 1, 2, 2, 1, 1, 1, 1, 2, 1, 2, 2, stride, stride, 0, 0};
  int32_t sums[4];
  bitlens_status status;
  CHECK(bitlens_weight_sums(&p, nullptr, sums, &status) == BITLENS_OK, "%s", status.message);
  for (int i = 0; i < 4; ++i) CHECK(sums[i] == activations[i], "tap %d is %d", i, sums[i]);
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  Random random(12);
  check_packing(&random);
  for (const char* isa : {"portable", "avx2", "avx512", "neon"}) {
    for (int i = 0; i < 40; ++i) check_case(&random, isa);
  }
  check_refusals();
  check_long_stride();
  return failures == 0 ? 0 : 1;
}
