# SPDX-License-Identifier: Apache-2.0
"""Reference rules of quantization other than Quant: thresholds, truncation, ONNX's own codes and products of codes.

A tensor of codes holds them as real numbers; what they stand for is known where they are dequantized.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.reference import ROUNDINGS
from bitlens.graph.execute.products import PRODUCTS
from bitlens.graph.execute.tensor import Array, Rule, Tensor
from bitlens.graph.graph import Node
from bitlens.graph.linear_codes import along_axis, code_range, whole_zero_point
from bitlens.graph.thresholds import count_codes, threshold_layout

__all__ = ["CODES"]


def _real(operand: Tensor | None) -> Array:
    if operand is None:
        raise ValueError("an operand is missing")
    return operand.real


def _multi_threshold(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, thresholds = (_real(operand) for operand in operands)
    axis, codes = threshold_layout(node, x.ndim).index("C"), count_codes(node)
    moved = np.moveaxis(x, axis, -1)
    count = sum((moved >= column for column in thresholds.T), np.zeros(moved.shape, np.int64))
    return Tensor.quantized(np.moveaxis(codes.factor * count + codes.shift, -1, axis), codes.unit)


def _trunc(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, scale, zero_point, bits = (_real(operand) for operand in operands[:4])
    rounding = ROUNDINGS[str(node.attrs["rounding_mode"]).upper()]
    whole = np.rint(x / scale + zero_point)
    if len(operands) == 5:  # version 1
        divisor = np.float32(2.0 ** (float(bits) - float(_real(operands[4]))))
        return _truncated(rounding(whole / divisor), zero_point, scale)
    out_scale, out_bits = (_real(operand) for operand in operands[4:])
    divisor = np.float32(2.0 ** np.rint(np.log2(out_scale / scale)))
    half = 2.0 ** (float(out_bits) - 1)
    narrow = node.attrs["narrow"]
    lo, hi = (-half + narrow, half - 1) if node.attrs["signed"] else (0, 2 * half - 1 - narrow)
    clamped = np.clip(whole / divisor, np.float32(lo), np.float32(hi))
    return _truncated(rounding(clamped), zero_point / divisor, out_scale)


def _truncated(codes: Array, zero_point: Array, unit: Array) -> Tensor:
    if np.any(zero_point):
        return Tensor(np.asarray((codes - zero_point) * unit, np.float32))
    return Tensor.quantized(codes.astype(np.int64), unit.astype(np.float32))


def _quantize_linear(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, scale = (_real(operand) for operand in operands[:2])
    given = operands[2] if len(operands) > 2 else None
    zero_point = None if given is None else given.real
    lo, hi = code_range(node, zero_point)
    shift = 0 if zero_point is None else along_axis(node.attrs, zero_point.astype(np.float32), x.ndim)
    codes = np.rint(x / along_axis(node.attrs, scale, x.ndim)) + shift
    return Tensor(np.clip(codes, lo, hi).astype(np.float32))


def _dequantize_linear(node: Node, operands: list[Tensor | None]) -> Tensor:
    codes, scale = (_real(operand) for operand in operands[:2])
    given = operands[2] if len(operands) > 2 else None
    shift = np.zeros((), np.int64) if given is None else given.real.astype(np.int64)
    integers = codes.astype(np.int64) - along_axis(node.attrs, shift, codes.ndim)
    return Tensor.quantized(integers, along_axis(node.attrs, scale.astype(np.float32), codes.ndim))


def _less_zero(node: Node, codes: Tensor | None, zero_point: Tensor | None, axis: int = 0) -> Tensor:
    """Codes as integers n = q - zero point of unit 1; zero points of weights may be one per output."""
    shift = np.zeros((), np.int64) if zero_point is None else zero_point.real.astype(np.int64)
    q = _real(codes).astype(np.int64)
    return Tensor.quantized(q - along_axis({"axis": axis}, shift, q.ndim), np.ones((), np.float32))


def _sums(node: Node, op: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> npt.NDArray[np.int64]:
    attrs: dict[str, Any] = {key: value for key, value in node.attrs.items() if key != "op"}
    product = PRODUCTS[op](Node(op, node.name, [], [], attrs), [x, weight, bias])
    assert product.integers is not None
    return product.integers


def _integer(op: str, axis: int) -> Rule:
    def rule(node: Node, operands: list[Tensor | None]) -> Tensor:
        x, weight, x_zero, weight_zero = (*operands, None, None)[:4]
        sums = _sums(node, op, _less_zero(node, x, x_zero), _less_zero(node, weight, weight_zero, axis), None)
        return Tensor(sums.astype(np.float32))

    return rule


def _linear(op: str, axis: int) -> Rule:
    def rule(node: Node, operands: list[Tensor | None]) -> Tensor:
        x, x_scale, x_zero, weight, weight_scale, weight_zero, out_scale, out_zero, bias = (*operands, None)[:9]
        added = None if bias is None else Tensor.quantized(bias.real.astype(np.int64), np.ones((), np.float32))
        sums = _sums(node, op, _less_zero(node, x, x_zero), _less_zero(node, weight, weight_zero, axis), added)
        gain = np.asarray(_real(x_scale) * _real(weight_scale) / _real(out_scale), np.float32)
        zero = _real(out_zero)
        scaled = sums.astype(np.float32) * along_axis({"axis": 1}, gain, sums.ndim)
        lo, hi = code_range(node, zero)
        return Tensor(np.clip(np.rint(scaled) + whole_zero_point(node, zero), lo, hi).astype(np.float32))

    return rule


CODES: dict[str, Rule] = {
    "MultiThreshold": _multi_threshold,
    "Trunc": _trunc,
    "QuantizeLinear": _quantize_linear,
    "DequantizeLinear": _dequantize_linear,
    "ConvInteger": _integer("Conv", 0),
    "MatMulInteger": _integer("MatMul", 1),
    "QLinearConv": _linear("Conv", 0),
    "QLinearMatMul": _linear("MatMul", 1),
}
