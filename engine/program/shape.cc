// SPDX-License-Identifier: Apache-2.0
// Shape rules of the ops. Height and width are 0 while symbolic.
#include "base/error.h"
#include "program/program.h"

namespace bitlens {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kFormat;

int64_t checked_side(const char* name, int64_t size) {
  if (size > kMostSide) {
    fail(kFormat, "%s: height and width must be at most %lld, not %lld", name, static_cast<long long>(kMostSide),
         static_cast<long long>(size));
  }
  return size;
}

// One axis of a sliding window.
int64_t slide(const char* name, int64_t size, int64_t kernel, int64_t stride, int64_t before, int64_t after,
              int64_t dilation) {
  const int64_t extent = dilation * (kernel - 1) + 1;
  const int64_t most = before > after ? before : after;
  if (most >= extent && most > 0) {
    fail(kFormat, "%s: pads must be smaller than the dilated kernel %lld, not %lld", name,
         static_cast<long long>(extent), static_cast<long long>(most));
  }
  if (size == 0) return 0;
  const int64_t padded = size + before + after;
  if (padded < extent) {
    fail(kFormat, "%s: the window of %lld must fit the padded size %lld", name, static_cast<long long>(extent),
         static_cast<long long>(padded));
  }
  return checked_side(name, (padded - extent) / stride + 1);
}

// One axis of an upsampling.
int64_t enlarge(const char* name, int64_t size, int64_t factor, int64_t before, int64_t after) {
  if (size == 0) return 0;
  const int64_t cut = (before < 0 ? before : 0) + (after < 0 ? after : 0);
  if (size * factor + cut < 1) {
    fail(kFormat, "%s: a crop must leave a pixel of %lld, not cut %lld", name, static_cast<long long>(size * factor),
         static_cast<long long>(-cut));
  }
  return checked_side(name, size * factor + before + after);
}

Shape flat(const char* name, const Shape& shape) {
  if (shape.height == 0 || shape.width == 0) fail(kFormat, "%s: height and width must be fixed", name);
  const int64_t pixels =
      shape.height > kMostChannels || shape.width > kMostChannels ? kMostChannels + 1 : shape.height * shape.width;
  // At most 2^40 pixels times 2^20 channels: fits 63 bits.
  return {1, 1, pixels * shape.channels};
}

}  // namespace

Shape result_shape(const Op& op, const std::string& name, const std::vector<Shape>& operands) {
  const Window& w = op.window;
  Shape shape = operands[0];
  switch (op.opcode) {
    case Opcode::kConv:
    case Opcode::kMaxPool:
    case Opcode::kSumPool:
      shape.height = slide(name.c_str(), shape.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h);
      shape.width = slide(name.c_str(), shape.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w);
      if (op.opcode == Opcode::kConv) shape.channels = op.out_channels;
      return shape;
    case Opcode::kAdd:
      if (!(operands[1] == shape)) fail(kFormat, "%s: both operands must have one shape", name.c_str());
      return shape;
    case Opcode::kMultiply:
      if (!(operands[1] == shape) && !(operands[1] == Shape{1, 1, shape.channels})) {
        fail(kFormat, "%s: the second operand must be of the first's shape or one pixel", name.c_str());
      }
      return shape;
    case Opcode::kLookup:
      if (shape.channels != 1) {
        fail(kFormat, "%s: operand must have 1 channel, not %lld", name.c_str(),
             static_cast<long long>(shape.channels));
      }
      shape.channels = static_cast<int64_t>(op.weights_per_output());
      return shape;
    case Opcode::kConcat:
      shape.channels = 0;
      for (const Shape& operand : operands) {
        if (operand.height != shape.height || operand.width != shape.width) {
          fail(kFormat, "%s: all operands must have one height and width", name.c_str());
        }
        shape.channels += operand.channels;
      }
      return shape;
    case Opcode::kUpsample: {
      const Upsampling& u = op.upsampling;
      shape.height = enlarge(name.c_str(), shape.height, u.factor_h, u.pad_top, u.pad_bottom);
      shape.width = enlarge(name.c_str(), shape.width, u.factor_w, u.pad_left, u.pad_right);
      return shape;
    }
    case Opcode::kSelect:
      shape.channels = static_cast<int64_t>(op.channels.size());
      return shape;
    case Opcode::kDepthToSpace: {
      const int64_t block = op.block;
      if (block < 1 || block > kMostFactor || shape.channels % (block * block) != 0) {
        fail(kFormat, "%s: block must be 1 to %d and its square divide %lld channels, not %lld", name.c_str(),
             kMostFactor, static_cast<long long>(shape.channels), static_cast<long long>(block));
      }
      return {shape.height * block, shape.width * block, shape.channels / (block * block)};
    }
    case Opcode::kCrop: {
      const Shape& like = operands[1];
      // sizes may be symbolic here and not there
      if ((shape.height != 0 && shape.height < like.height) || (shape.width != 0 && shape.width < like.width)) {
        fail(kFormat, "%s: the map to cut must be at least %lld x %lld, not %lld x %lld", name.c_str(),
             static_cast<long long>(like.height), static_cast<long long>(like.width),
             static_cast<long long>(shape.height), static_cast<long long>(shape.width));
      }
      shape.height = like.height;
      shape.width = like.width;
      return shape;
    }
    case Opcode::kFlatten:
      return flat(name.c_str(), shape);
    case Opcode::kSteps:
    case Opcode::kRescale:
      return shape;
  }
  return shape;
}

}  // namespace bitlens
