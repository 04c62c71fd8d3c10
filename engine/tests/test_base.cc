// SPDX-License-Identifier: Apache-2.0
// Checksum, reader, thread pool, arena.
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu.h"
#include "base/crc32.h"
#include "base/error.h"
#include "base/reader.h"
#include "base/threads.h"
#include "program/arena.h"
#include "tests/check.h"

namespace bitlens {
namespace {

void test_crc32() {
  const auto* digits = reinterpret_cast<const uint8_t*>("123456789");
  CHECK(crc32(digits, 9) == 0xCBF43926u, "crc32 of 123456789 is %08x", crc32(digits, 9));
  CHECK(crc32(digits, 0) == 0, "crc32 of nothing is %08x", crc32(digits, 0));
  Random random(3);
  std::vector<uint8_t> bytes(100);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next() >> 9);
  for (size_t count = 0; count <= bytes.size(); ++count) {
    uint32_t slow = ~uint32_t{0};
    for (size_t i = 0; i < count; ++i) {
      slow ^= bytes[i];
      for (int bit = 0; bit < 8; ++bit) slow = slow >> 1 ^ (slow & 1 ? 0xEDB88320u : 0);
    }
    CHECK(crc32(bytes.data(), count) == ~slow, "crc32 of %zu bytes", count);
  }
}

template <typename Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error.message;
  }
  return "no error";
}

void test_reader() {
  const uint8_t bytes[] = {0xfe, 0xff, 0x78, 0x56, 0x34, 0x12, 'a', 0xc3, 0xa4};
  Reader reader(bytes, sizeof bytes);
  CHECK(reader.signed_number(2) == -2, "signed 16-bit number");
  CHECK(reader.u32() == 0x12345678u, "32-bit number");
  CHECK(reader.utf8(3, true) == "a\xc3\xa4", "text");
  const std::string text = message_of([&] { reader.u8(); });
  CHECK(text == "file: offset 9 must be followed by 1 bytes, not 0", "%s", text.c_str());
  for (const char* bad : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5", "\xc3"}) {
    Reader words(reinterpret_cast<const uint8_t*>(bad), std::strlen(bad));
    const std::string error = message_of([&] { words.utf8(static_cast<uint32_t>(std::strlen(bad)), false); });
    CHECK(error == "file: text at offset 0 must be UTF-8", "%s", error.c_str());
  }
  Reader line(reinterpret_cast<const uint8_t*>("a\nb"), 3);
  const std::string error = message_of([&] { line.utf8(3, true); });
  CHECK(error == "file: text at offset 0 must have no control characters", "%s", error.c_str());
}

void test_isa() {
  uint32_t mask;
  CHECK(isa_mask("portable", &mask) && mask == 0, "portable allows nothing");
  CHECK(isa_mask(nullptr, &mask) && mask == ~uint32_t{0}, "none named allows everything");
  CHECK(!isa_mask("mmx", &mask), "mmx is no name");
  CHECK(isa_lead("avx512") == kAvx512 && isa_lead("portable") == 0, "leads");
}

// Every item once, whatever the number of threads, with workers told apart; jobs from several threads at once.
void test_threads() {
  const auto caller = [] {
    for (int round = 0; round < 300; ++round) {
      const int64_t items = round % 37;
      const int threads = 1 + round % 5;
      std::vector<std::atomic<int>> seen(static_cast<size_t>(items) + 1);
      std::vector<int64_t> by_worker(kMostThreads);
      parallel_for(items, threads, [&](int64_t item, int worker) {
        seen[static_cast<size_t>(item)].fetch_add(1);
        by_worker[static_cast<size_t>(worker)] += 1;  // a race if two threads had one number
      });
      int64_t sum = 0;
      for (int64_t count : by_worker) sum += count;
      CHECK(sum == items, "%lld items ran, not %lld", static_cast<long long>(sum), static_cast<long long>(items));
      for (int64_t i = 0; i < items; ++i)
        CHECK(seen[static_cast<size_t>(i)] == 1, "item ran %d times", seen[static_cast<size_t>(i)].load());
      if (round % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // lets workers park
    }
  };
  caller();
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) callers.emplace_back(caller);
  for (std::thread& thread : callers) thread.join();
  CHECK(available_threads() >= 1, "at least one thread");
}

// Buffers alive together never overlap, and memory is used again.
void test_arena() {
  Random random(11);
  for (int round = 0; round < 50; ++round) {
    struct Life {
      uint64_t bytes;
      size_t born, last;
    };
    ArenaPlan arena(uint64_t{1} << 40, false);
    std::vector<Life> lives;
    uint64_t total = 0;
    for (size_t step = 0; step < 40; ++step) {
      const auto bytes = static_cast<uint64_t>(random.between(1, 5000));
      const uint32_t buffer = arena.add(bytes, step);
      lives.push_back({bytes, step, step + static_cast<size_t>(random.between(0, 5))});
      arena.use(buffer, lives.back().last);
      total += bytes;
    }
    const uint64_t bytes = arena.place(0);
    CHECK(bytes < total, "an arena of %llu bytes reuses nothing", static_cast<unsigned long long>(bytes));
    for (size_t i = 0; i < lives.size(); ++i) {
      const uint64_t begin = arena.offset(static_cast<uint32_t>(i)), end = begin + lives[i].bytes;
      CHECK(begin % 64 == 0 && end <= bytes, "buffer %zu outside", i);
      for (size_t k = 0; k < i; ++k) {
        const uint64_t other = arena.offset(static_cast<uint32_t>(k));
        const bool together = lives[k].last >= lives[i].born;
        CHECK(!together || other + lives[k].bytes <= begin || end <= other, "buffers %zu and %zu overlap", i, k);
      }
    }
  }
  ArenaPlan small(100, false);
  small.add(65, 0);
  const std::string error = message_of([&] { small.place(0); });
  CHECK(error == "program: memory must be at most 100 bytes, not 128", "%s", error.c_str());
}

}  // namespace
}  // namespace bitlens

int main() {
  bitlens::test_crc32();
  bitlens::test_reader();
  bitlens::test_isa();
  bitlens::test_threads();
  bitlens::test_arena();
  return bitlens::failures == 0 ? 0 : 1;
}
