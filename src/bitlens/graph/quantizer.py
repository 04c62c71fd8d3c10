# SPDX-License-Identifier: Apache-2.0
"""What a Quant, BipolarQuant or paired QuantizeLinear operator means: its arithmetic and the integers it yields.

    v = x / scale + zero_point;  q = round(clamp(v, lo, hi));  y = (q - zero_point) * scale

Integers of this compiler have no zero point. A whole zero point z shifts them, n = q - z with unit `scale`; half of an odd
number doubles them, n = 2q - 2z with unit `scale / 2`, which is an odd grid. Both are exact: y = n * unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid, GridError
from bitlens.core.reference import ROUNDINGS, Quantize
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.spec import CompileError

__all__ = ["Quantizer", "check_scale", "read_quantizer", "rename_unit"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quantizer:
    """A quantizer read from its operator.

    Args:
        scale: float32, scalar or broadcastable against the tensor, positive.
        zero_point: a whole number or half of an odd one.
        lo, hi: the clamp of q.
        rounding: a key of `ROUNDINGS`, or "SIGN": +1 where v >= 0, else -1.
    """

    scale: FloatArray
    zero_point: float
    lo: int
    hi: int
    rounding: str

    @property
    def factor(self) -> int:
        """What q is multiplied with to give the integer: 1, or 2 for half a zero point."""
        return 1 if self.zero_point == int(self.zero_point) else 2

    @property
    def shift(self) -> int:
        """What is added to factor * q to give the integer."""
        return int(-self.factor * self.zero_point)

    @property
    def unit(self) -> FloatArray:
        """The real value of one integer: the scale, or half of it."""
        return np.asarray(self.scale / np.float32(self.factor))

    @property
    def grid(self) -> Grid:
        """The integers that come out."""
        lo, hi = self.factor * self.lo + self.shift, self.factor * self.hi + self.shift
        return Grid(lo, hi, 2 if self.rounding == "SIGN" else self.factor)

    def integers(self, x: FloatArray) -> npt.NDArray[np.int64]:
        """Quantize real values to integers of the grid, int64 of the same shape."""
        v = x / self.scale + np.float32(self.zero_point)
        if self.rounding == "SIGN":
            return np.where(v >= 0, 1, -1).astype(np.int64)
        v = np.minimum(np.maximum(v, np.float32(self.lo)), np.float32(self.hi))
        return self.factor * ROUNDINGS[self.rounding](v).astype(np.int64) + self.shift


def read_quantizer(graph: Graph, node: Node) -> Quantizer:
    """Read a Quant or BipolarQuant node, whose parameters must be constants.

    Raises:
        CompileError: a parameter is not constant, or has no integer meaning.
    """
    scale = _constant(graph, node, 1, "scale").astype(np.float32)
    check_scale(node, scale)
    if node.op == "BipolarQuant":
        return Quantizer(scale, 0.0, -1, 1, "SIGN")
    if node.op == "QuantizeLinear":  # paired with what dequantizes it: the clamp of n = q - zero point
        return Quantizer(scale, 0.0, node.attrs["lo"], node.attrs["hi"], "ROUND")
    zero_point = _single(_constant(graph, node, 2, "zero point"), node, "zero point")
    bits = _single(_constant(graph, node, 3, "bit width"), node, "bit width")
    if not bits.is_integer() or not 1 <= bits <= 32:
        raise CompileError(
            f"{node.name}: bit width must be a whole number of 1 to 32, not {bits:g}; round it in the file"
        )
    if not (2 * zero_point).is_integer():
        raise CompileError(
            f"{node.name}: zero point must be a multiple of 1/2, not {zero_point:g}; round it when quantizing the model"
        )
    signed, narrow = (_flag(node, name) for name in ("signed", "narrow"))
    rounding = _rounding(node)
    if signed and bits == 1:
        if zero_point:
            raise CompileError(f"{node.name}: zero point of a 1-bit signed Quant must be 0, not {zero_point:g}")
        return Quantizer(scale, 0.0, -1, 1, "SIGN")
    half = 1 << (int(bits) - 1)
    lo, hi = (-half + narrow, half - 1) if signed else (0, 2 * half - 1 - narrow)
    found = Quantizer(scale, zero_point, lo, hi, rounding)
    try:
        _ = found.grid
    except GridError as error:
        raise CompileError(
            f"{node.name}: integers must fit 32 bits, not {bits:g} bits at zero point {zero_point:g}"
        ) from error
    return found


def rename_unit(value: Value) -> dict[str, Any]:
    """Attributes of a chain that gives back the integers of a tensor, so that what reads them may have another unit."""
    grid = value.grid
    assert grid is not None
    shift = grid.lo % grid.step  # 0, or 1 for odd integers
    lo, hi = (grid.lo - shift) // grid.step, (grid.hi - shift) // grid.step
    code = Quantize(np.asarray(value.scale * np.float32(grid.step)), -shift / grid.step, lo, hi, "ROUND")
    return {"chain": (code,), "factor": grid.step, "shift": shift}


def _constant(graph: Graph, node: Node, position: int, what: str) -> npt.NDArray[Any]:
    array = graph.constants.get(node.inputs[position])
    if array is None or array.size == 0:
        raise CompileError(
            f"{node.name}: {what} must be a constant, not computed ({node.inputs[position]}); freeze the model before export"
        )
    return array


def check_scale(node: Node, scale: npt.NDArray[np.float32]) -> None:
    """Check that a quantizer's unit is a positive number, or one a channel.

    Raises:
        CompileError: one is not positive, or not finite.
    """
    if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
        raise CompileError(
            f"{node.name}: scale must be positive, not {scale.min()}; fold the sign into the layer before"
        )


def _single(array: npt.NDArray[Any], node: Node, what: str) -> float:
    low, high = float(array.min()), float(array.max())
    if low != high:  # also catches nan
        raise CompileError(f"{node.name}: {what} must be one number, not {low:g} to {high:g}; quantize per tensor")
    return low


def _flag(node: Node, name: str) -> int:
    if node.attrs[name] not in (0, 1):
        raise CompileError(f"{node.name}: {name} must be 0 or 1, not {node.attrs[name]}")
    return int(node.attrs[name])


def _rounding(node: Node) -> str:
    mode = str(node.attrs["rounding_mode"]).upper()
    if mode not in ROUNDINGS:
        raise CompileError(f"{node.name}: rounding_mode must be one of {', '.join(ROUNDINGS)}, not {mode}")
    return mode
