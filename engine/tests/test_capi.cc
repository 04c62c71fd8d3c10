// SPDX-License-Identifier: Apache-2.0
// The C API on programs written by hand: views with strides, a lent arena, streams, messages.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <utility>
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
  w.number(0, 2);                           // states
  return w.seal();
}

// One step of a clipped sum: next = min(x + s, 7) of x in 0..3 and the state s in 0..7, which begins at (5, 1).
std::vector<uint8_t> step_program() {
  Writer w;
  w.number(0, 2);  // metadata
  w.number(2, 2);
  w.text("x").number(1, 4).number(1, 4).number(2, 4).number(1, 4).number(1, 4).grid(0, 3).number(0, 1);
  w.text("s").number(1, 4).number(1, 4).number(2, 4).number(1, 4).number(1, 4).grid(0, 7).number(0, 1);
  w.number(2, 4);
  w.number(6, 1).text("sum").number(2, 1).number(0, 4).number(1, 4).grid(0, 10);
  w.number(3, 1).text("clipped").number(1, 1).number(2, 4).grid(0, 7);
  w.number(1, 4).number(1, 4).number(0, 8).number(0, 1);  // (1 * x + 0) >> 0
  w.number(2, 2).text("next").number(3, 4).text("total").number(2, 4);
  w.number(1, 2).number(1, 2).number(0, 2).number(2, 4).number(5, 4).number(1, 4);  // s is next, (5, 1) at first
  return w.seal();
}

struct Fixture {
  std::vector<uint8_t> file;
  bitlens_model* model = nullptr;
  bitlens_status status{};

  explicit Fixture(int threads = 1, std::vector<uint8_t> program = sums_program()) : file(std::move(program)) {
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

using Integers = std::vector<int32_t>;

// A stream of `step_program`, and what it must do.
struct Sequence {
  bitlens_stream* stream = nullptr;
  bitlens_status status{};
  Integers state{5, 1};

  explicit Sequence(bitlens_model* model) {
    CHECK(bitlens_open_stream(model, &stream, &status) == BITLENS_OK, "open: %s", status.message);
  }
  ~Sequence() { bitlens_close_stream(stream); }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  bitlens_code step(const Integers& x, Integers* totals) {
    totals->assign(x.size(), -1);
    int32_t* outputs[] = {totals->data()};
    const bitlens_view view{x.data(), BITLENS_I32, 2, 2, 2};
    return bitlens_step(stream, x.size() / 2, &view, outputs, &status);
  }

  // Takes steps, and compares totals and state with a loop.
  void expect(const Integers& x) {
    Integers totals, want(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      want[i] = x[i] + state[i % 2];
      state[i % 2] = std::min(want[i], 7);
    }
    CHECK(step(x, &totals) == BITLENS_OK, "%s", status.message);
    CHECK(totals == want, "totals of %zu steps", x.size() / 2);
    CHECK(read() == state, "the state after %zu steps", x.size() / 2);
  }

  Integers read() {
    Integers found(2, -1);
    int32_t* const arrays[] = {found.data()};
    CHECK(bitlens_read_states(stream, arrays, &status) == BITLENS_OK, "%s", status.message);
    return found;
  }
};

void test_steps() {
  Fixture f(1, step_program());
  CHECK(bitlens_state_count(f.model) == 1, "one state");
  CHECK(bitlens_state_at(f.model, 0).input == 1 && bitlens_state_at(f.model, 0).output == 0, "its places");
  Sequence one(f.model), other(f.model);
  CHECK(one.read() == (Integers{5, 1}), "the initial integers");
  one.expect({1, 0, 3, 2, 0, 3});
  other.expect({0, 1});  // a sequence of its own
  one.expect({0, 0});
  other.expect({3, 3, 1, 0});
  one.expect({});  // no step
  CHECK(bitlens_reset(one.stream, &one.status) == BITLENS_OK, "%s", one.status.message);
  one.state = {5, 1};
  one.expect({0, 0, 0, 1});
  const Integers given{0, 7};
  const int32_t* const arrays[] = {given.data()};
  CHECK(bitlens_write_states(one.stream, arrays, &one.status) == BITLENS_OK, "%s", one.status.message);
  one.state = given;
  one.expect({2, 1, 0, 0});
}

void test_refused_steps() {
  Fixture f(1, step_program());
  Sequence s(f.model);
  s.expect({1, 1});
  Integers totals;
  CHECK(s.step({1, 1, 2, 4, 0, 0}, &totals) == BITLENS_INPUT, "4 is not on the grid");
  CHECK(std::string(s.status.message) == "x: every integer must be on the grid [0, 3] by 1, not 4", "%s",
        s.status.message);
  s.expect({0, 0});  // as if the refused steps had not been
  const Integers bad{1, 8};
  const int32_t* const arrays[] = {bad.data()};
  CHECK(bitlens_write_states(s.stream, arrays, &s.status) == BITLENS_INPUT, "8 is not on the grid");
  CHECK(std::string(s.status.message) == "s: every integer must be on the grid [0, 7] by 1, not 8", "%s",
        s.status.message);
  s.expect({0, 1});
  int32_t room[2];
  int32_t* outputs[] = {room};
  const bitlens_view nothing{nullptr, BITLENS_I32, 2, 2, 2};
  CHECK(bitlens_step(s.stream, 1, &nothing, outputs, &s.status) == BITLENS_ARGUMENT, "no address");
  CHECK(std::string(s.status.message) == "x: data must be the address of integers, not NULL", "%s", s.status.message);
  s.expect({1, 0});
  Fixture none;
  CHECK(bitlens_state_count(none.model) == 0, "no state");
  bitlens_stream* stream;
  CHECK(bitlens_open_stream(none.model, &stream, &f.status) == BITLENS_ARGUMENT && stream == nullptr, "no stream");
  CHECK(std::string(f.status.message) == "stream: program must have states, not none; run it image by image", "%s",
        f.status.message);
}

// One stream serves one thread at a time: a step is taken, or the caller is told, and nothing in between.
void test_busy_stream() {
  Fixture f(1, step_program());
  Sequence s(f.model);
  std::atomic<int> wrong{0};
  const auto work = [&] {
    const Integers x(2 * 500, 1);
    Integers totals(x.size());
    for (int round = 0; round < 100; ++round) {
      int32_t* outputs[] = {totals.data()};
      const bitlens_view view{x.data(), BITLENS_I32, 2, 2, 2};
      bitlens_status status;
      const bitlens_code code = bitlens_step(s.stream, 500, &view, outputs, &status);
      if (code == BITLENS_OK ? totals.back() != 8 : code != BITLENS_BUSY) ++wrong;
      if (code == BITLENS_BUSY && std::string(status.message) != "stream: must not be used by two threads at once") {
        ++wrong;
      }
    }
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  CHECK(wrong == 0, "%d calls were neither right nor busy", wrong.load());
  CHECK(s.read() == (Integers{7, 7}), "the state after all steps");
}

// Memory that runs out at any allocation of a step is told, and no step has been taken.
void test_exhausted_memory_of_a_stream() {
  for (int spare = 0; spare < 64; ++spare) {
    Fixture f(1, step_program());
    Sequence s(f.model);
    const Integers x{1, 2, 0, 1};
    Integers totals(4);
    int32_t* outputs[] = {totals.data()};
    const bitlens_view view{x.data(), BITLENS_I32, 2, 2, 2};
    spare_allocations = spare;
    const bitlens_code starved = bitlens_step(s.stream, 2, &view, outputs, &s.status);
    spare_allocations = kEndless;
    CHECK(starved == BITLENS_OK || starved == BITLENS_MEMORY, "%s", s.status.message);
    if (starved == BITLENS_OK) return;
    s.expect(x);
  }
  CHECK(false, "a step must need fewer than 64 allocations");
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
  bitlens::test_steps();
  bitlens::test_refused_steps();
  bitlens::test_busy_stream();
  bitlens::test_exhausted_memory_of_a_stream();
  return bitlens::failures == 0 ? 0 : 1;
}
