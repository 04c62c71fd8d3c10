// SPDX-License-Identifier: Apache-2.0
// Changes .bitlens files, seals them again and opens them: every one must end in one line of error, or run.
//
//   fuzz_open ITERATIONS FILE...       built with sanitizers by tests/engine
//
// The sizes that a run may take are bounded by the memory limit; plans of too much work are opened but not run.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/crc32.h"
#include "bitlens.h"
#include "tests/check.h"

namespace bitlens {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kMemoryLimit = 64 << 20;
constexpr double kMostWork = 2e7;

void put(Bytes* bytes, size_t at, uint64_t value, size_t width) {
  for (size_t i = 0; i < width && at + i < bytes->size(); ++i)
    (*bytes)[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

void seal(Bytes* bytes) {
  if (bytes->size() < 24) return;
  put(bytes, 16, bytes->size(), 8);
  put(bytes, 12, crc32(bytes->data() + 16, bytes->size() - 16), 4);
}

Bytes mutate(const Bytes& seed, Random* random) {
  constexpr uint64_t kNumbers[] = {0,     1,     2,     3,       7,          127,        128,        255,
                                   32767, 65535, 65536, 1 << 20, 0x7ffffffe, 0x7fffffff, 0x80000000, 0xffffffff};
  Bytes bytes = seed;
  for (int64_t change = random->between(1, 4); change > 0; --change) {
    const auto at = static_cast<size_t>(random->between(24, static_cast<int64_t>(bytes.size()) - 1));
    switch (random->between(0, 5)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1 << random->between(0, 7));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random->next() >> 30);
        break;
      case 2:
        put(&bytes, at, kNumbers[random->between(0, 15)], 4);
        break;
      case 3:
        put(&bytes, at, kNumbers[random->between(0, 15)], 2);
        break;
      case 4:
        bytes.erase(bytes.begin() + static_cast<int64_t>(at),
                    bytes.begin() +
                        std::min(static_cast<int64_t>(bytes.size()), static_cast<int64_t>(at) + random->between(1, 9)));
        break;
      case 5:
        bytes.insert(bytes.begin() + static_cast<int64_t>(at), static_cast<size_t>(random->between(1, 9)), bytes[at]);
        break;
    }
    if (bytes.size() < 32) return seed;
  }
  seal(&bytes);
  return bytes;
}

// About how many operations a run takes, from what the API tells: outputs times inputs of every layer.
double work_of(const bitlens_model* model) {
  double work = 0;
  for (size_t i = 0; i < bitlens_layer_count(model); ++i) {
    const bitlens_layer l = bitlens_layer_at(model, i);
    work += 1.0 * l.out_height * l.out_width * l.out_channels * (50.0 + l.in_channels);
  }
  return work;
}

void run(bitlens_model* model, Random* random) {
  if (work_of(model) > kMostWork) return;
  std::vector<std::vector<int32_t>> arrays;
  const auto array = [&](const bitlens_tensor& t) {
    arrays.emplace_back(static_cast<size_t>(t.height) * static_cast<size_t>(t.width) * static_cast<size_t>(t.channels));
    for (int32_t& value : arrays.back()) {
      value = static_cast<int32_t>(t.lo + t.step * random->between(0, (int64_t{t.hi} - t.lo) / t.step));
    }
    return arrays.back().data();
  };
  std::vector<bitlens_view> inputs;
  std::vector<int32_t*> outputs, kept;
  for (size_t i = 0; i < bitlens_input_count(model); ++i) {
    const bitlens_tensor t = bitlens_input(model, i);
    const int64_t row = int64_t{t.width} * t.channels;
    inputs.push_back({array(t), BITLENS_I32, row * t.height, row, t.channels});
  }
  for (size_t i = 0; i < bitlens_output_count(model); ++i) outputs.push_back(array(bitlens_output(model, i)));
  for (size_t i = 0; i < bitlens_kept_count(model); ++i) kept.push_back(array(bitlens_kept(model, i)));
  bitlens_status status;
  const bitlens_code code = bitlens_run(model, 1, inputs.data(), outputs.data(), kept.data(), &status);
  CHECK(code == BITLENS_OK, "a legal program must run: %s", status.message);
  // every output is on its declared grid
  for (size_t i = 0; i < bitlens_output_count(model); ++i) {
    const bitlens_tensor t = bitlens_output(model, i);
    const auto count = static_cast<size_t>(t.height) * static_cast<size_t>(t.width) * static_cast<size_t>(t.channels);
    for (size_t k = 0; k < count; ++k) {
      CHECK(outputs[i][k] >= t.lo && outputs[i][k] <= t.hi, "%s holds %d, outside its grid", t.name, outputs[i][k]);
    }
  }
}

// Two steps of a recurrent program: every state stays on its grid.
void step(bitlens_model* model, Random* random) {
  if (bitlens_state_count(model) == 0 || work_of(model) > kMostWork) return;
  bitlens_stream* stream;
  bitlens_status status;
  CHECK(bitlens_open_stream(model, &stream, &status) == BITLENS_OK, "a recurrent program has streams: %s",
        status.message);
  std::vector<bool> carried(bitlens_input_count(model)), following(bitlens_output_count(model));
  for (size_t i = 0; i < bitlens_state_count(model); ++i) {
    carried[bitlens_state_at(model, i).input] = following[bitlens_state_at(model, i).output] = true;
  }
  constexpr size_t kSteps = 2;
  std::vector<std::vector<int32_t>> arrays;
  std::vector<bitlens_view> inputs;
  std::vector<int32_t*> outputs;
  const auto size = [](const bitlens_tensor& t) {
    return static_cast<size_t>(t.height) * static_cast<size_t>(t.width) * static_cast<size_t>(t.channels);
  };
  for (size_t i = 0; i < carried.size(); ++i) {
    if (carried[i]) continue;
    const bitlens_tensor t = bitlens_input(model, i);
    arrays.emplace_back(kSteps * size(t));
    for (int32_t& value : arrays.back()) {
      value = static_cast<int32_t>(t.lo + t.step * random->between(0, (int64_t{t.hi} - t.lo) / t.step));
    }
    const int64_t row = int64_t{t.width} * t.channels;
    inputs.push_back({arrays.back().data(), BITLENS_I32, row * t.height, row, t.channels});
  }
  for (size_t i = 0; i < following.size(); ++i) {
    if (following[i]) continue;
    arrays.emplace_back(kSteps * size(bitlens_output(model, i)));
    outputs.push_back(arrays.back().data());
  }
  CHECK(bitlens_step(stream, kSteps, inputs.data(), outputs.data(), &status) == BITLENS_OK, "steps must run: %s",
        status.message);
  std::vector<std::vector<int32_t>> states;
  for (size_t i = 0; i < bitlens_state_count(model); ++i) {
    states.emplace_back(size(bitlens_input(model, bitlens_state_at(model, i).input)));
  }
  std::vector<int32_t*> found;
  for (auto& state : states) found.push_back(state.data());
  const std::vector<const int32_t*> given(found.begin(), found.end());
  CHECK(bitlens_read_states(stream, found.data(), &status) == BITLENS_OK, "%s", status.message);
  CHECK(bitlens_write_states(stream, given.data(), &status) == BITLENS_OK, "states must stay on their grids: %s",
        status.message);
  CHECK(bitlens_reset(stream, &status) == BITLENS_OK, "%s", status.message);
  bitlens_close_stream(stream);
}

// Returns whether the file opened, planned for `size` where it leaves the size open.
bool try_one(const Bytes& bytes, int size, Random* random) {
  bitlens_options options{};
  options.threads = 1;
  options.keep = 1;
  options.memory_limit = kMemoryLimit;
  options.height = options.width = size;
  bitlens_model* model;
  bitlens_status status;
  const bitlens_code code = bitlens_open(bytes.data(), bytes.size(), &options, &model, &status);
  if (code != BITLENS_OK) {
    CHECK(status.message[0] != '\0' && std::strchr(status.message, '\n') == nullptr, "an error must be one line");
    return false;
  }
  run(model, random);
  step(model, random);
  bitlens_close(model);
  return true;
}

Bytes read_file(const char* path) {
  Bytes bytes;
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return bytes;
  uint8_t block[4096];
  size_t count;
  while ((count = std::fread(block, 1, sizeof block, file)) > 0) bytes.insert(bytes.end(), block, block + count);
  std::fclose(file);
  return bytes;
}

}  // namespace
}  // namespace bitlens

int main(int argc, char** argv) {
  using namespace bitlens;
  if (argc < 3) {
    std::fprintf(stderr, "usage: fuzz_open ITERATIONS FILE...\n");
    return 2;
  }
  const long iterations = std::atol(argv[1]);
  std::vector<Bytes> seeds;
  for (int i = 2; i < argc; ++i) {
    seeds.push_back(read_file(argv[i]));
    Random random(1);
    CHECK(seeds.back().size() > 32 && (try_one(seeds.back(), 0, &random) || try_one(seeds.back(), 8, &random)),
          "%s must open", argv[i]);
    for (size_t length = 0; failures == 0 && length < seeds.back().size(); length += 1 + length / 64) {  // truncations
      Bytes cut(seeds.back().begin(), seeds.back().begin() + static_cast<int64_t>(length));
      CHECK(!try_one(cut, 0, &random), "a file cut to %zu bytes must not open", length);
      seal(&cut);
      try_one(cut, 0, &random);
    }
  }
  long opened = 0;
  for (long i = 0; failures == 0 && i < iterations; ++i) {
    Random random(static_cast<uint64_t>(i) + 17);
    const Bytes& seed = seeds[static_cast<size_t>(random.between(0, static_cast<int64_t>(seeds.size()) - 1))];
    opened += try_one(mutate(seed, &random), random.between(0, 2) == 0 ? 8 : 0, &random);
  }
  std::printf("%ld files, %ld opened, %d failures\n", iterations, opened, failures);
  return failures == 0 ? 0 : 1;
}
