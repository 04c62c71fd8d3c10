// SPDX-License-Identifier: Apache-2.0
#include "program/plan_epilogue.h"

#include <algorithm>

namespace bitlens {
namespace {

// One channel's steps where the operand can reach them: value j is taken from breakpoint j - 1 on.
struct Row {
  const int32_t* breakpoints;
  const int32_t* values;
  int32_t count;
};

// Breakpoints that every operand has passed only move the first value; those that none reaches are of no use.
Row reachable_row(const Op& op, const Grid& operand, uint32_t channel) {
  const uint64_t row = op.rows == 1 ? 0 : channel;
  const int32_t* breakpoints = op.breakpoints.data() + row * op.breakpoint_count;
  const int32_t* end = breakpoints + op.breakpoint_count;
  const int32_t* first = std::upper_bound(breakpoints, end, operand.lo);
  const int32_t* last = std::upper_bound(first, end, std::min(operand.hi, kNever - 1));
  const int32_t* values = op.values.data() + row * (op.breakpoint_count + uint64_t{1}) + (first - breakpoints);
  return {first, values, static_cast<int32_t>(last - first)};
}

int32_t most_levels(const Op& op, const Grid& operand) {
  int32_t levels = 0;
  for (uint32_t row = 0; row < op.rows; ++row) levels = std::max(levels, reachable_row(op, operand, row).count);
  return levels;
}

// sum = scale * raw + offset >= breakpoint  <=>  raw > limit
int32_t limit_of(int64_t breakpoint, int32_t scale, int64_t offset) {
  const int64_t distance = breakpoint - offset - 1;
  const int64_t limit = scale == 2 ? distance >> 1 : distance;
  return static_cast<int32_t>(std::clamp<int64_t>(limit, INT32_MIN, INT32_MAX));
}

// Writes the tables of one kind block by block; blocks share one when all their channels are alike.
class TableWriter {
 public:
  TableWriter(const Op* final, const Grid& operand, const Fold& fold, const PlanTensor& output, Blob* blob,
              PlanEpilogue* epilogue)
      : final_(final), operand_(operand), fold_(fold), output_(output), blob_(blob), epilogue_(epilogue) {}

  void write() {
    // Bits past the last channel must be 0, so a last block that ends inside a byte of planes needs a table of its own.
    const bool ragged =
        epilogue_->kind == EpilogueKind::kStepsPlanes && output_.channels > kBlock && output_.channels % 8 != 0;
    const bool alike = !ragged && (final_ == nullptr || final_->rows == 1) &&
                       std::all_of(fold_.offset.begin(), fold_.offset.end(),
                                   [&](int64_t offset) { return offset == fold_.offset[0]; });
    const int32_t blocks = alike ? 1 : (output_.channels + kBlock - 1) / kBlock;
    const uint64_t bytes = (block_bytes() + 63) / 64 * 64;
    epilogue_->table = blob_->reserve(bytes * static_cast<uint64_t>(blocks));
    epilogue_->table_stride = alike ? 0 : bytes;
    for (int32_t block = 0; block < blocks; ++block) {
      const int32_t channels = std::min(kBlock, output_.channels - block * kBlock);
      write_block(blob_->at(epilogue_->table + bytes * static_cast<uint64_t>(block)), alike ? -1 : block * kBlock,
                  channels);
    }
  }

 private:
  uint64_t levels() const { return static_cast<uint64_t>(epilogue_->levels); }

  uint64_t block_bytes() const {
    switch (epilogue_->kind) {
      case EpilogueKind::kStepsPlanes:
        return levels() * kBlock * 4 + (levels() + 1) * static_cast<uint64_t>(output_.planes) * 8;
      case EpilogueKind::kStepsBytes:
        return (2 * levels() + 1) * kBlock * 4;
      case EpilogueKind::kSearchBytes:
      case EpilogueKind::kSearchWords:
        return (2 * levels() + 1) * kBlock * 4;
      case EpilogueKind::kRescaleBytes:
      case EpilogueKind::kRescaleWords:
        return kBlock * (4 + 8 + 8);
      case EpilogueKind::kStorePlanes:
      case EpilogueKind::kStoreBytes:
      case EpilogueKind::kStoreWords:
        break;
    }
    return kBlock * 4;
  }

  void write_block(uint8_t* table, int32_t first, int32_t channels) {
    for (int32_t n = 0; n < channels; ++n) {
      const auto channel = static_cast<uint32_t>(first < 0 ? 0 : first + n);
      switch (epilogue_->kind) {
        case EpilogueKind::kStepsPlanes:
          write_planes(table, n, channel);
          break;
        case EpilogueKind::kStepsBytes:
          write_bytes(table, n, channel);
          break;
        case EpilogueKind::kSearchBytes:
        case EpilogueKind::kSearchWords:
          write_search(table, n, channel);
          break;
        case EpilogueKind::kRescaleBytes:
        case EpilogueKind::kRescaleWords:
          write_rescale(table, n, channel);
          break;
        default:
          reinterpret_cast<int32_t*>(table)[n] = static_cast<int32_t>(fold_.offset[channel]);  // wraps as sums do
      }
    }
    fill_lanes(table, channels);
  }

  // Lanes without a channel must pass no limit: their plane bits stay 0.
  void fill_lanes(uint8_t* table, int32_t channels) {
    if (epilogue_->kind != EpilogueKind::kStepsPlanes && epilogue_->kind != EpilogueKind::kStepsBytes) return;
    auto* limits = reinterpret_cast<int32_t*>(table) + (epilogue_->kind == EpilogueKind::kStepsBytes ? kBlock : 0);
    for (uint64_t level = 0; level < levels(); ++level) {
      std::fill(limits + level * kBlock + channels, limits + (level + 1) * kBlock, INT32_MAX);
    }
  }

  int32_t limit(const Row& row, uint64_t level, uint32_t channel) const {
    if (level >= static_cast<uint64_t>(row.count)) return INT32_MAX;
    return limit_of(row.breakpoints[level], fold_.scale, fold_.offset[channel]);
  }

  // Value after `level` breakpoints; the last one repeats.
  static int32_t value(const Row& row, uint64_t level) {
    return row.values[std::min(level, static_cast<uint64_t>(row.count))];
  }

  void write_planes(uint8_t* table, int32_t n, uint32_t channel) const {
    const Row row = reachable_row(*final_, operand_, channel);
    auto* limits = reinterpret_cast<int32_t*>(table);
    auto* first = reinterpret_cast<uint64_t*>(limits + levels() * kBlock);
    const auto planes = static_cast<uint64_t>(output_.planes);
    uint64_t* toggles = first + planes;
    const auto code = [&](uint64_t level) {
      return static_cast<uint64_t>((int64_t{value(row, level)} - output_.lo) / output_.step);
    };
    for (uint64_t p = 0; p < planes; ++p) first[p] |= (code(0) >> p & 1) << n;
    for (uint64_t level = 0; level < levels(); ++level) {
      limits[level * kBlock + static_cast<uint64_t>(n)] = limit(row, level, channel);
      const uint64_t changed = code(level) ^ code(level + 1);
      for (uint64_t p = 0; p < planes; ++p) toggles[level * planes + p] |= (changed >> p & 1) << n;
    }
  }

  void write_bytes(uint8_t* table, int32_t n, uint32_t channel) const {
    const Row row = reachable_row(*final_, operand_, channel);
    auto* first = reinterpret_cast<int32_t*>(table) + n;
    int32_t* limits = first + kBlock;
    int32_t* deltas = limits + levels() * kBlock;
    *first = value(row, 0) - std::min(output_.lo, 0);
    for (uint64_t level = 0; level < levels(); ++level) {
      limits[level * kBlock] = limit(row, level, channel);
      deltas[level * kBlock] = value(row, level + 1) - value(row, level);
    }
  }

  void write_search(uint8_t* table, int32_t n, uint32_t channel) const {
    const Row row = reachable_row(*final_, operand_, channel);
    auto* limits = reinterpret_cast<int32_t*>(table) + static_cast<uint64_t>(n) * levels();
    auto* values = reinterpret_cast<int32_t*>(table) + kBlock * levels() + static_cast<uint64_t>(n) * (levels() + 1);
    const int32_t base = epilogue_->kind == EpilogueKind::kSearchBytes ? std::min(output_.lo, 0) : 0;
    for (uint64_t level = 0; level <= levels(); ++level) {
      if (level < levels()) limits[level] = limit(row, level, channel);
      values[level] = value(row, level) - base;
    }
  }

  // m * (scale * raw + offset) + b = (m * scale) * raw + (m * offset + b), in 64 bits that wrap to the right sum.
  void write_rescale(uint8_t* table, int32_t n, uint32_t channel) const {
    const uint32_t row = final_->rows == 1 ? 0 : channel;
    auto* multiplier = reinterpret_cast<int32_t*>(table);
    auto* addend = reinterpret_cast<int64_t*>(multiplier + kBlock);
    int64_t* shift = addend + kBlock;
    const int64_t m = final_->multiplier[row];
    multiplier[n] = static_cast<int32_t>(m * fold_.scale);
    addend[n] = static_cast<int64_t>(static_cast<uint64_t>(m) * static_cast<uint64_t>(fold_.offset[channel]) +
                                     static_cast<uint64_t>(final_->addend[row]));
    shift[n] = final_->shift[row];
  }

  const Op* final_;
  const Grid& operand_;
  const Fold& fold_;
  const PlanTensor& output_;
  Blob* blob_;
  PlanEpilogue* epilogue_;
};

EpilogueKind kind_of(const Op* final, int32_t levels, Storage storage) {
  if (final == nullptr) {
    return storage == Storage::kPlanes  ? EpilogueKind::kStorePlanes
           : storage == Storage::kBytes ? EpilogueKind::kStoreBytes
                                        : EpilogueKind::kStoreWords;
  }
  if (final->opcode == Opcode::kRescale) {
    return storage == Storage::kBytes ? EpilogueKind::kRescaleBytes : EpilogueKind::kRescaleWords;
  }
  if (storage == Storage::kPlanes) return EpilogueKind::kStepsPlanes;
  if (storage == Storage::kWords) return EpilogueKind::kSearchWords;
  return levels <= kMaxCompares ? EpilogueKind::kStepsBytes : EpilogueKind::kSearchBytes;
}

}  // namespace

bool can_store(const Op* final, const Grid& operand, const Grid& result, Storage storage) {
  if (storage == Storage::kWords) return true;
  if (storage == Storage::kBytes) return fits_bytes(result);
  if (!fits_planes(result)) return false;
  if (final == nullptr) return true;
  return final->opcode == Opcode::kSteps && most_levels(*final, operand) <= kMaxCompares;
}

uint32_t plan_epilogue(const Op* final, const Grid& operand, const Fold& fold, const PlanTensor& output,
                       uint32_t features, Blob* blob, PlanEpilogue* epilogue) {
  epilogue->levels = final != nullptr && final->opcode == Opcode::kSteps ? most_levels(*final, operand) : 0;
  epilogue->kind = kind_of(final, epilogue->levels, output.storage);
  epilogue->scale = fold.scale;
  for (int row = 0; row < kEpilogueKernelCount; ++row) {
    const EpilogueKernel& kernel = kEpilogueKernels[row];
    if (kernel.kind != epilogue->kind || (kernel.features & ~features) != 0) continue;
    epilogue->kernel = blob->text(kernel.name);
    TableWriter(final, operand, fold, output, blob, epilogue).write();
    return kernel.features;
  }
  fail(ErrorCode::kArgument, "epilogue: no kernel of the list fits");  // every kind has a portable row
}

}  // namespace bitlens
