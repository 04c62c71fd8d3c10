// SPDX-License-Identifier: Apache-2.0
// Every row of epilogue/kernels.inc against the portable row of its kind, on sizes around the lane edges; the bytes
// between and behind the outputs must stay as they were.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"
#include "tests/check.h"

namespace bitlens {
namespace {

const EpilogueKernel& portable_of(EpilogueKind kind) {
  for (int row = 0;; ++row) {
    if (kEpilogueKernels[row].kind == kind && kEpilogueKernels[row].features == 0) return kEpilogueKernels[row];
  }
}

struct Case {
  int32_t pixels, channels, levels, planes, step, scale;
};

// Appends 4- and 8-byte numbers; a table is an array of them.
struct Table {
  std::vector<uint8_t> bytes;
  void add32(int64_t value) { append(static_cast<int32_t>(value)); }
  void add64(uint64_t value) { append(value); }
  template <typename T>
  void append(T value) {
    const size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
};

constexpr int32_t kRange = 500;  // sums lie in -kRange..kRange, so that limits are hit exactly now and then

// Ascending limits of every lane, some never passed: [levels][kBlock].
std::vector<int32_t> ascending_limits(const Case& c, Random* random) {
  const auto levels = static_cast<size_t>(c.levels);
  std::vector<int32_t> limits(levels * kBlock, INT32_MAX);
  for (size_t n = 0; n < static_cast<size_t>(c.channels); ++n) {
    std::vector<int32_t> lane(levels);
    for (int32_t& limit : lane) {
      limit = random->between(0, 9) == 0 ? INT32_MAX : static_cast<int32_t>(random->between(-kRange, kRange));
    }
    std::sort(lane.begin(), lane.end());
    for (size_t level = 0; level < levels; ++level) limits[level * kBlock + n] = lane[level];
  }
  return limits;
}

// Every second table counts: codes rise or fall by one a level.
Table steps_planes_table(const Case& c, Random* random) {
  Table table;
  const uint64_t used = c.channels == kBlock ? ~uint64_t{0} : (uint64_t{1} << c.channels) - 1;
  for (int32_t limit : ascending_limits(c, random)) table.add32(limit);
  for (int32_t p = 0; p < c.planes; ++p) table.add64(random->next() & used);
  const bool counting = random->between(0, 1) == 1;
  for (int32_t i = 0; i < c.levels * c.planes; ++i) {
    const bool toggles = (i / c.planes + 1) % (1 << i % c.planes) == 0;
    table.add64((counting ? (toggles ? ~uint64_t{0} : 0) : random->next()) & used);
  }
  return table;
}

// Deltas of both signs whose running sum stays within a byte; in every second table the same at each level.
Table steps_bytes_table(const Case& c, Random* random) {
  Table table;
  for (int32_t n = 0; n < kBlock; ++n) table.add32(n < c.channels ? random->between(60, 190) : 0);
  for (int32_t limit : ascending_limits(c, random)) table.add32(limit);
  const bool equal = random->between(0, 1) == 1;
  std::vector<int64_t> deltas(kBlock);
  for (int32_t i = 0; i < c.levels * kBlock; ++i) {
    auto& delta = deltas[static_cast<size_t>(i % kBlock)];
    if (i < kBlock || !equal) delta = i % kBlock < c.channels ? random->between(-4, 4) : 0;
    table.add32(delta);
  }
  return table;
}

Table search_table(const Case& c, Random* random) {
  Table table;
  for (int32_t n = 0; n < kBlock; ++n) {
    std::vector<int32_t> row(static_cast<size_t>(c.levels));
    for (int32_t& limit : row) limit = static_cast<int32_t>(random->between(-kRange, kRange));
    std::sort(row.begin(), row.end());
    if (!row.empty() && n % 3 == 0) row.back() = INT32_MAX;
    for (int32_t limit : row) table.add32(n < c.channels ? limit : INT32_MAX);
  }
  for (int32_t i = 0; i < kBlock * (c.levels + 1); ++i) table.add32(random->between(0, 255));
  return table;
}

Table rescale_table(const Case& c, Random* random) {
  Table table;
  std::vector<int64_t> shifts;
  for (int32_t n = 0; n < kBlock; ++n) {
    shifts.push_back(n < c.channels ? random->between(0, n % 5 == 0 ? 62 : 40) : 0);
    const int64_t most = std::min<int64_t>(INT32_MAX, (int64_t{1} << std::min<int64_t>(shifts.back(), 40)) * 2);
    table.add32(n < c.channels ? random->between(-most, most) : 0);
  }
  for (int32_t n = 0; n < kBlock; ++n) {
    table.add64(n < c.channels ? static_cast<uint64_t>(random->between(-(int64_t{1} << 40), int64_t{1} << 40)) : 0);
  }
  for (int64_t shift : shifts) table.add64(static_cast<uint64_t>(shift));
  return table;
}

Table table_of(EpilogueKind kind, const Case& c, Random* random) {
  switch (kind) {
    case EpilogueKind::kStepsPlanes:
      return steps_planes_table(c, random);
    case EpilogueKind::kStepsBytes:
      return steps_bytes_table(c, random);
    case EpilogueKind::kSearchBytes:
    case EpilogueKind::kSearchWords:
      return search_table(c, random);
    case EpilogueKind::kRescaleBytes:
    case EpilogueKind::kRescaleWords:
      return rescale_table(c, random);
    default:
      break;
  }
  Table table;
  for (int32_t n = 0; n < kBlock; ++n) table.add32(n < c.channels ? c.step * random->between(0, 3) : 0);
  return table;
}

void check_case(const EpilogueKernel& kernel, const Case& c, Random* random) {
  const Table table = table_of(kernel.kind, c, random);
  AlignedBytes aligned(table.bytes.begin(), table.bytes.end());
  const bool store = kernel.kind >= EpilogueKind::kStorePlanes;
  // Stores: v = scale * sums + offset must lie on the grid lo, lo + step, ... with `planes` bits (or a byte).
  const int32_t bits = kernel.kind == EpilogueKind::kStoreBytes ? 8 : c.planes;
  const int32_t lo = store ? -2 * c.step : -100;
  const int32_t top = (1 << bits) - 7;  // offsets take up to 3 steps, lo 2
  AlignedBytes sums_bytes(static_cast<size_t>(c.pixels) * kBlock * 4);
  auto* sums = reinterpret_cast<int32_t*>(sums_bytes.data());
  for (int32_t i = 0; i < c.pixels * kBlock; ++i) {
    const int64_t code = random->between(0, top > 0 ? top : 0);
    sums[i] = static_cast<int32_t>(store ? code * c.step / c.scale : random->between(-kRange, kRange));
    if (!store && random->between(0, 30) == 0) sums[i] = random->between(0, 1) ? INT32_MAX : INT32_MIN;
  }
  const bool planes = kernel.kind == EpilogueKind::kStepsPlanes || kernel.kind == EpilogueKind::kStorePlanes;
  const size_t pixel_bytes = planes ? static_cast<size_t>(c.channels + 7) / 8 : static_cast<size_t>(c.channels) * 4;
  const size_t pixel_stride = pixel_bytes + static_cast<size_t>(random->between(0, 3));
  const size_t plane_stride = pixel_stride * static_cast<size_t>(c.pixels) + 5;
  const size_t total = plane_stride * static_cast<size_t>(c.planes) + 64;
  std::vector<uint8_t> expected(total, 0x5A), got(total, 0x5A);
  EpilogueTile tile{sums,     aligned.data(), expected.data(), pixel_stride, plane_stride, c.pixels, c.channels,
                    c.levels, c.planes,       c.scale,         lo,           100,          c.step,   lo < 0 ? lo : 0};
  portable_of(kernel.kind).run(tile);
  tile.out = got.data();
  kernel.run(tile);
  CHECK(expected == got, "%s pixels %d channels %d levels %d planes %d step %d scale %d", kernel.name, c.pixels,
        c.channels, c.levels, c.planes, c.step, c.scale);
}

void check_kernel(const EpilogueKernel& kernel) {
  Random random(11);
  const bool search = kernel.kind == EpilogueKind::kSearchBytes || kernel.kind == EpilogueKind::kSearchWords;
  for (int32_t channels = 1; channels <= kBlock; ++channels) {
    for (int32_t pixels : {1, 2, 7, 15}) {
      for (int32_t planes = 1; planes <= 4; ++planes) {
        for (int32_t levels : {0, 1, 2, (1 << planes) - 1, (1 << planes) - 1, search ? 255 : 15}) {
          const auto step = static_cast<int32_t>(random.between(1, 3));
          check_case(kernel, {pixels, channels, levels, planes, step, step == 2 ? 2 : 1}, &random);
        }
      }
    }
  }
}

}  // namespace
}  // namespace bitlens

int main() {
  using namespace bitlens;
  const uint32_t features = cpu_features();
  for (int row = 0; row < kEpilogueKernelCount; ++row) {
    const EpilogueKernel& kernel = kEpilogueKernels[row];
    const bool here = (kernel.features & ~features) == 0;
    std::printf("%s%s\n", kernel.name, here ? "" : ": not on this processor");
    if (here && kernel.features != 0) check_kernel(kernel);  // a portable row is the reference itself
  }
  return failures == 0 ? 0 : 1;
}
