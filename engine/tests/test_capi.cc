// SPDX-License-Identifier: Apache-2.0
// The C API on a program written by hand: views with strides, a lent arena, messages.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "base/crc32.h"
#include "bitlens.h"
#include "tests/check.h"

namespace {

constexpr int kEndless = 1 << 30;
std::atomic<int> spare_allocations{kEndless};  // until the next one fails

}  // namespace

void* operator new(size_t bytes) {
  void* memory = spare_allocations.fetch_sub(1) > 0 ? std::malloc(bytes) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace bitlens {
namespace {

// Writes docs/format.md by hand.
class Writer {
 public:
  Writer& number(uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
  }
  Writer& text(const std::string& text) {
    number(text.size(), 2);
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    return *this;
  }
  // lo, hi, step, and the default scale and offset
  Writer& grid(int32_t lo, int32_t hi) {
    return number(static_cast<uint32_t>(lo), 4).number(static_cast<uint32_t>(hi), 4).number(1, 1).number(0, 8);
  }
  Writer& window(std::vector<uint16_t> fields) {
    for (uint16_t field : fields) number(field, 2);
    return *this;
  }
  std::vector<uint8_t> seal() {
    std::vector<uint8_t> file = {0x89, 'B', 'I', 'T', 'L', 'E', 'N', 'S', 1, 0, 0, 0};
    std::vector<uint8_t> body;
    std::swap(body, bytes_);
    number(body.size() + 24, 8);
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    std::swap(body, bytes_);
    bytes_ = file;
    number(crc32(body.data(), body.size()), 4);
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    return bytes_;
  }

 private:
  std::vector<uint8_t> bytes_;
};

// image (4, 6, 1) unsigned 8 -> sums of 2x2 windows (2, 3, 1)
std::vector<uint8_t> sums_program(uint32_t height = 4) {
  Writer w;
  w.number(0, 2);  // metadata
  w.number(1, 2).text("image").number(height, 4).number(6, 4).number(1, 4).number(1, 4).number(1, 4).grid(0, 255);
  w.number(0, 1);  // of the input: rounding
  w.number(1, 4).number(5, 1).text("sums").number(1, 1).number(0, 4).grid(0, 1020).window(
      {2, 2, 2, 2, 0, 0, 0, 0, 1, 1});
  w.number(1, 2).text("out").number(1, 4);  // outputs
  return w.seal();
}

struct Fixture {
  std::vector<uint8_t> file = sums_program();
  bitlens_model* model = nullptr;
  bitlens_status status{};

  explicit Fixture(int threads = 1) {
    bitlens_options options{};
    options.threads = threads;
    const bitlens_code code = bitlens_open(file.data(), file.size(), &options, &model, &status);
    CHECK(code == BITLENS_OK, "open: %s", status.message);
  }
  ~Fixture() { bitlens_close(model); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  std::vector<int32_t> run(const bitlens_view& view, size_t images) {
    std::vector<int32_t> out(6 * images, -1);
    int32_t* outputs[] = {out.data()};
    bitlens_run(model, images, &view, outputs, nullptr, &status);
    return out;
  }
};

void test_description() {
  Fixture f;
  const bitlens_tensor in = bitlens_input(f.model, 0), out = bitlens_output(f.model, 0);
  CHECK(std::string(in.name) == "image" && in.height == 4 && in.width == 6 && in.channels == 1 && in.hi == 255,
        "input");
  CHECK(std::string(out.name) == "out" && out.height == 2 && out.width == 3 && out.hi == 1020, "output");
  CHECK(out.scale_count == 1 && out.scale[0] == 1 && out.offset[0] == 0, "scale");
  CHECK(bitlens_layer_count(f.model) == 1 && std::string(bitlens_layer_at(f.model, 0).op) == "sum_pool", "layer");
}

// The same picture as bytes, as words, as a cut-out of a larger one, and as one channel of pairs.
void test_views() {
  Fixture f;
  std::vector<uint8_t> bytes(48);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(5 * i + 1);
  const std::vector<int32_t> want = f.run({bytes.data(), BITLENS_U8, 24, 6, 1}, 2);
  CHECK(want[0] == bytes[0] + bytes[1] + bytes[6] + bytes[7], "first sum is %d", want[0]);
  const std::vector<int32_t> words(bytes.begin(), bytes.end());
  CHECK(f.run({words.data(), BITLENS_I32, 24, 6, 1}, 2) == want, "words");
  std::vector<uint8_t> large(2 * 10 * 16), pairs(96);
  for (size_t i = 0; i < 48; ++i) {
    large[i / 24 * 160 + (i % 24 / 6 + 3) * 16 + i % 6 + 5] = bytes[i];
    pairs[2 * i] = bytes[i];
  }
  CHECK(f.run({large.data() + 3 * 16 + 5, BITLENS_U8, 160, 16, 1}, 2) == want, "cut-out");
  CHECK(f.run({pairs.data(), BITLENS_U8, 48, 12, 2}, 2) == want, "pairs");
}

void test_lent_arena() {
  Fixture f;
  const size_t bytes = bitlens_arena_bytes(f.model);
  std::vector<uint8_t> memory(bytes + 64);
  uint8_t* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  CHECK(bitlens_use_arena(f.model, aligned, bytes - 1, &f.status) == BITLENS_ARGUMENT, "too small an arena");
  const std::string small =
      "arena: must have at least " + std::to_string(bytes) + " bytes, not " + std::to_string(bytes - 1);
  CHECK(small == f.status.message, "%s", f.status.message);
  CHECK(bitlens_use_arena(f.model, aligned + 1, bytes, &f.status) == BITLENS_ARGUMENT, "a crooked arena");
  const std::vector<uint8_t> image(24, 1);
  const std::vector<int32_t> want = f.run({image.data(), BITLENS_U8, 24, 6, 1}, 1);
  CHECK(bitlens_use_arena(f.model, aligned, bytes, &f.status) == BITLENS_OK, "%s", f.status.message);
  CHECK(f.run({image.data(), BITLENS_U8, 24, 6, 1}, 1) == want, "run in a lent arena");
}

// With a lent arena one run goes at a time: the others are told, or wait for nothing and succeed.
void test_busy() {
  Fixture f;
  std::vector<uint8_t> memory(bitlens_arena_bytes(f.model) + 64);
  uint8_t* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  bitlens_use_arena(f.model, aligned, memory.size() - 64, &f.status);
  const std::vector<uint8_t> images(24 * 200, 2);
  std::atomic<int> wrong{0};
  const auto work = [&] {
    for (int round = 0; round < 50; ++round) {
      std::vector<int32_t> out(6 * 200);
      int32_t* outputs[] = {out.data()};
      const bitlens_view view{images.data(), BITLENS_U8, 24, 6, 1};
      bitlens_status status;
      const bitlens_code code = bitlens_run(f.model, 200, &view, outputs, nullptr, &status);
      if (code == BITLENS_OK ? out[0] != 8 : code != BITLENS_BUSY) ++wrong;
    }
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  CHECK(wrong == 0, "%d runs were neither right nor busy", wrong.load());
}

void test_messages() {
  Fixture f;
  const std::vector<int32_t> image(24, 256);
  f.run({image.data(), BITLENS_I32, 24, 6, 1}, 1);
  CHECK(f.status.code == BITLENS_INPUT, "code %d", f.status.code);
  CHECK(std::string(f.status.message) == "image: every integer must be on the grid [0, 255] by 1, not 256", "%s",
        f.status.message);
  bitlens_model* model;
  CHECK(bitlens_open("BITLENS", 7, nullptr, &model, &f.status) == BITLENS_FORMAT && model == nullptr, "no file");
  CHECK(std::string(f.status.message) ==
            "file: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not 42 49 54 4c 45 4e 53",
        "%s", f.status.message);
  CHECK(bitlens_open_file("/dev/null", nullptr, &model, &f.status) == BITLENS_FORMAT, "an empty file");
  CHECK(std::string(f.status.message) ==
            "/dev/null: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not none",
        "%s", f.status.message);
  bitlens_open(f.file.data(), 9, nullptr, &model, &f.status);
  CHECK(std::string(f.status.message) == "file: header must have 24 bytes, not 9", "%s", f.status.message);
  CHECK(bitlens_open_file("/nowhere/m", nullptr, &model, nullptr) == BITLENS_ARGUMENT, "a status may be left out");
  bitlens_options options{};
  options.memory_limit = 1000;
  CHECK(bitlens_open(f.file.data(), f.file.size(), &options, &model, &f.status) == BITLENS_MEMORY, "%s",
        f.status.message);
  options.memory_limit = (uint64_t{4} << 30) + 1;
  bitlens_open(f.file.data(), f.file.size(), &options, &model, &f.status);
  CHECK(std::string(f.status.message) == "memory_limit: must be at most 4294967296 bytes, not 4294967297", "%s",
        f.status.message);
  const std::vector<uint8_t> wide = sums_program(2147483748u);
  CHECK(bitlens_open(wide.data(), wide.size(), nullptr, &model, &f.status) == BITLENS_FORMAT, "a negative height");
  CHECK(std::string(f.status.message) == "image: height and width must be at most 2147483647, not 2147483748", "%s",
        f.status.message);
}

// Memory that runs out at any allocation of a run is told, and the next run finds the model as it was.
void test_exhausted_memory(bool lent) {
  for (int spare = 0; spare < 64; ++spare) {
    Fixture f(3);
    std::vector<uint8_t> memory(bitlens_arena_bytes(f.model) + 64);
    uint8_t* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
    if (lent) bitlens_use_arena(f.model, aligned, memory.size() - 64, &f.status);
    const std::vector<uint8_t> images(24 * 30, 1);
    std::vector<int32_t> out(6 * 30);
    int32_t* outputs[] = {out.data()};
    const bitlens_view view{images.data(), BITLENS_U8, 24, 6, 1};
    spare_allocations = spare;
    const bitlens_code starved = bitlens_run(f.model, 30, &view, outputs, nullptr, &f.status);
    spare_allocations = kEndless;
    CHECK(starved == BITLENS_OK || starved == BITLENS_MEMORY, "%s", f.status.message);
    CHECK(bitlens_run(f.model, 30, &view, outputs, nullptr, &f.status) == BITLENS_OK, "%s", f.status.message);
    if (starved == BITLENS_OK) return;
  }
  CHECK(false, "a run must need fewer than 64 allocations");
}

// With as many images as threads, errors name the first image's integer whatever thread meets it.
void test_errors_of_many_images() {
  Fixture f(3);
  std::vector<int32_t> images(24 * 30, 1);
  images[24 * 7] = 300;
  images[24 * 20] = 400;
  for (int round = 0; round < 20; ++round) {
    f.run({images.data(), BITLENS_I32, 24, 6, 1}, 30);
    CHECK(std::string(f.status.message) == "image: every integer must be on the grid [0, 255] by 1, not 300", "%s",
          f.status.message);
  }
}

}  // namespace
}  // namespace bitlens

int main() {
  bitlens::test_description();
  bitlens::test_views();
  bitlens::test_lent_arena();
  bitlens::test_busy();
  bitlens::test_messages();
  bitlens::test_exhausted_memory(false);
  bitlens::test_exhausted_memory(true);
  bitlens::test_errors_of_many_images();
  return bitlens::failures == 0 ? 0 : 1;
}
