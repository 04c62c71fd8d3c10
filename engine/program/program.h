// SPDX-License-Identifier: Apache-2.0
// An integer program as the file tells it (docs/format.md), read and proven legal.
//
//   const Program program = read_program(bytes, size);   // throws Error
//
// Weights stay packed in the file's bytes, which must outlive the program.
#ifndef BITLENS_PROGRAM_PROGRAM_H_
#define BITLENS_PROGRAM_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/upsample/upsample.h"
#include "kernels/window.h"

namespace bitlens {

// The integers {lo, lo + step, ..., hi}; step is 1 or 2.
struct Grid {
  int32_t lo = 0, hi = 0, step = 1;

  int64_t levels() const { return (int64_t{hi} - lo) / step + 1; }
  // ceil(log2(levels)), at least 1.
  int32_t bits() const;
  bool contains(int64_t value) const { return value >= lo && value <= hi && (value - lo) % step == 0; }
  // Whether every integer of `other` is on this grid.
  bool covers(const Grid& other) const;
  bool operator==(const Grid& other) const { return lo == other.lo && hi == other.hi && step == other.step; }
};

enum class Opcode : uint8_t {
  kConv = 1,
  kSteps = 2,
  kRescale = 3,
  kMaxPool = 4,
  kSumPool = 5,
  kAdd = 6,
  kConcat = 7,
  kFlatten = 8,
  kUpsample = 9,
  kCrop = 10,
  kSelect = 11,
  kDepthToSpace = 12,
  kMultiply = 13,
  kLookup = 14,
};

const char* opcode_name(Opcode opcode);

// Height and width are 0 while they are symbolic.
struct Shape {
  int64_t height = 0, width = 0, channels = 0;

  bool operator==(const Shape& other) const {
    return height == other.height && width == other.width && channels == other.channels;
  }
};

// A tensor is an input or the result of an op.
struct TensorInfo {
  std::string name;
  Shape shape;
  uint32_t height_multiple = 1, width_multiple = 1;  // of symbolic inputs
  Grid grid;
  std::vector<float> scale, offset;  // empty, 1, or one per channel
  uint8_t rounding = 0;              // of an input's real values
};

struct Op {
  Opcode opcode;
  std::vector<uint32_t> operands;  // tensor numbers
  uint32_t result;                 // tensor number
  Window window{};                 // conv, pools
  Upsampling upsampling{};         // upsample
  std::vector<uint32_t> channels;  // select
  uint32_t block = 1;              // depth_to_space
  // conv, and the table of lookup, whose rows are outputs
  uint32_t groups = 1, out_channels = 0;
  Grid weight_grid;
  const uint8_t* weights = nullptr;  // planes of codes, see read_codes
  uint64_t weight_count = 0;
  std::vector<int32_t> bias;  // empty or one per output channel
  // steps and rescale
  uint32_t rows = 0;                         // 1 or one per channel
  uint32_t breakpoint_count = 0;             // per row
  std::vector<int32_t> breakpoints, values;  // (rows, breakpoint_count), (rows, breakpoint_count + 1)
  std::vector<int32_t> multiplier;           // (rows)
  std::vector<int64_t> addend;
  std::vector<uint8_t> shift;

  // Whether the result holds the operands' integers and no other.
  bool only_moves() const;
  // Operands that are read; of a crop's second only the size is.
  size_t data_operands() const { return opcode == Opcode::kCrop ? 1 : operands.size(); }
  uint64_t weights_per_output() const { return out_channels == 0 ? 0 : weight_count / out_channels; }
  bool padded() const { return (window.pad_top | window.pad_left | window.pad_bottom | window.pad_right) != 0; }
};

constexpr uint8_t kLastOpcode = 14;
constexpr int64_t kMostChannels = 1 << 20;
constexpr int32_t kMostFactor = 256;       // of an upsampling, and a block
constexpr int64_t kMostSide = 2147483647;  // height and width
constexpr int32_t kNever = 2147483647;     // a breakpoint that no accumulator reaches

struct Program {
  std::vector<TensorInfo> tensors;  // inputs first
  uint32_t input_count = 0;
  std::vector<Op> ops;
  struct Output {
    std::string name;
    uint32_t tensor;
  };
  std::vector<Output> outputs;
  // An output that is an input of the next step.
  struct State {
    uint32_t input, output;        // places in the lists of inputs and outputs
    std::vector<int32_t> initial;  // 1 or one per element of (H, W, C)
  };
  std::vector<State> states;
};

// Reads and checks a file. Throws Error (kFormat) with one line that names the op or the offset.
Program read_program(const uint8_t* data, size_t size);

// Checks grids, ranges and rows of everything read, as if there were no checksum. Throws Error (kFormat).
void check_program(const Program& program);

// Gives every second integer of a tensor's grid a code too where a convolution pads the tensor with the integer 0,
// which odd grids lack: bit planes can then hold the padding. Grids that users see stay.
void widen_grids(Program* program);

// The shape of an op's result. Throws Error (kFormat) when the operands do not fit together.
Shape result_shape(const Op& op, const std::string& name, const std::vector<Shape>& operands);

// The weight codes of output channel `output`, (kernel_h, kernel_w, channels / groups), or of a table's row. The weight
// is lo + step * code.
void read_codes(const Op& op, uint32_t output, uint32_t* codes);

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_PROGRAM_H_
