# SPDX-License-Identifier: Apache-2.0
"""The one truth of the arithmetic between an accumulator and its quantizer.

A chain is what a model applies to an integer accumulator: scale, bias, batch norm, activation, quantizer, in the model's
own order. `evaluate` rounds the exact accumulator once to float32, then performs every operator correctly rounded in
float32. Step tables (`steps.py`) are read off this function, so no other float arithmetic decides a code.

    >>> chain = (Multiply(np.float32(0.1)), Clip(0.0, 1.0), Quantize(np.float32(1 / 3), 0.0, 0, 3, "HALF_UP"))
    >>> evaluate(chain, np.array([[-5], [4], [40]]))[:, 0].tolist()
    [0, 1, 3]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.functions import apply_function

__all__ = [
    "ROUNDINGS",
    "Abs",
    "Add",
    "BatchNorm",
    "Chain",
    "Clip",
    "Count",
    "Divide",
    "Fork",
    "Function",
    "LeakyRelu",
    "Multiply",
    "Quantize",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Tanh",
    "ends_in_codes",
    "evaluate",
    "is_monotone",
]

FloatArray = npt.NDArray[np.float32]
PerChannel = FloatArray | np.float32

_HALF = np.float32(0.5)

# How a value between two integers is rounded; QONNX names. All in float32.
ROUNDINGS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda v: np.sign(v) * np.ceil(np.abs(v)),
    "DOWN": np.trunc,
    "HALF_UP": lambda v: np.sign(v) * np.floor(np.abs(v) + _HALF),
    "HALF_DOWN": lambda v: np.sign(v) * np.ceil(np.abs(v) - _HALF),
}


@dataclass(frozen=True)
class Multiply:
    """x * values; values float32, () or (C,)."""

    values: PerChannel


@dataclass(frozen=True)
class Divide:
    """x / values; values float32, () or (C,)."""

    values: PerChannel


@dataclass(frozen=True)
class Add:
    """x + values; values float32, () or (C,)."""

    values: PerChannel


@dataclass(frozen=True)
class BatchNorm:
    """x * a + b with a = gamma * (1 / sqrt(var + eps)) and b = beta - mean * a, each operator rounded to float32."""

    gamma: FloatArray
    beta: FloatArray
    mean: FloatArray
    var: FloatArray
    eps: float

    def affine(self) -> tuple[FloatArray, FloatArray]:
        """The slope a and intercept b, float32 (C,)."""
        inverse = np.float32(1) / np.sqrt(self.var + np.float32(self.eps))
        slope = self.gamma * inverse
        return slope, self.beta - self.mean * slope


@dataclass(frozen=True)
class Clip:
    """min(max(x, lo), hi)."""

    lo: float
    hi: float


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class LeakyRelu:
    """x where x >= 0, else x * slope; slope float32, () or (C,). PReLU is the per-channel case."""

    slope: PerChannel


@dataclass(frozen=True)
class Abs:
    """|x|."""


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x)), rounded once from float64."""


@dataclass(frozen=True)
class Tanh:
    """tanh(x), rounded once from float64."""


@dataclass(frozen=True)
class Function:
    """A function of `core.functions`, rounded once from float64.

    Args:
        name: a key of `FUNCTIONS`.
        parameters: names and values of its parameters.
    """

    name: str
    parameters: tuple[tuple[str, float | str], ...] = ()


@dataclass(frozen=True)
class Fork:
    """left(x) * right(x), such as x * sigmoid(x); the operators of each in their own order."""

    left: tuple[Any, ...]
    right: tuple[Any, ...]


@dataclass(frozen=True)
class Quantize:
    """The integer code round(clamp(x / scale + zero_point, lo, hi)), as QONNX Quant computes it in float32.

    Args:
        scale: float32, () or (C,).
        zero_point: float32, () or (C,).
        lo, hi: the clamp, integers.
        rounding: a key of `ROUNDINGS`. One-bit signed grids (lo = -1, hi = 1 with `rounding` "SIGN") give +1 where
            x / scale + zero_point >= 0, else -1.
    """

    scale: PerChannel
    zero_point: PerChannel | float
    lo: int
    hi: int
    rounding: str


@dataclass(frozen=True)
class Round:
    """The whole number rint(x / scale + zero_point), ties to even; float32, () or (C,)."""

    scale: PerChannel
    zero_point: PerChannel | float


@dataclass(frozen=True)
class Sign:
    """-1, 0 or 1."""


@dataclass(frozen=True)
class Count:
    """The integer code #{j : x >= thresholds[c, j]}, as QONNX MultiThreshold computes it.

    Args:
        thresholds: float32, (C, J), or (1, J) for all channels alike.
    """

    thresholds: FloatArray


Operator = (
    Multiply
    | Divide
    | Add
    | BatchNorm
    | Clip
    | Relu
    | LeakyRelu
    | Abs
    | Sigmoid
    | Tanh
    | Round
    | Sign
    | Function
    | Fork
    | Quantize
    | Count
)
Chain = tuple[Operator, ...]


def evaluate(chain: Chain, integers: npt.ArrayLike) -> npt.NDArray[Any]:
    """Apply a chain to exact accumulators.

    Args:
        chain: operators in the model's order; a `Quantize` or `Count` must be the last.
        integers: exact integers, (..., C).

    Returns:
        int64 codes (..., C) where the chain ends in one, else float32.
    """
    x = np.asarray(integers, dtype=np.int64).astype(np.float32)
    with np.errstate(over="ignore"):  # exp of a large number is a correct infinity
        for operator in chain:
            x = _apply(operator, x)
    return x.astype(np.int64) if ends_in_codes(chain) else x


def ends_in_codes(chain: Chain) -> bool:
    """Whether a chain ends in integers."""
    return bool(chain) and isinstance(chain[-1], Quantize | Count)


def _apply(operator: Operator, x: FloatArray) -> FloatArray:
    match operator:
        case Multiply(values):
            return np.asarray(x * np.asarray(values, np.float32))
        case Divide(values):
            return np.asarray(x / np.asarray(values, np.float32))
        case Add(values):
            return np.asarray(x + np.asarray(values, np.float32))
        case BatchNorm():
            slope, intercept = operator.affine()
            return np.asarray(x * slope + intercept)
        case Clip(lo, hi):
            return np.asarray(np.minimum(np.maximum(x, np.float32(lo)), np.float32(hi)))
        case Relu():
            return np.asarray(np.maximum(x, np.float32(0)))
        case LeakyRelu(slope):
            return np.asarray(np.where(x >= 0, x, x * np.asarray(slope, np.float32)))
        case Abs():
            return np.asarray(np.abs(x))
        case Sigmoid():
            return np.asarray(1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
        case Tanh():
            return np.asarray(np.tanh(x.astype(np.float64))).astype(np.float32)
        case Round(scale, zero_point):
            return np.asarray(np.rint(x / np.asarray(scale, np.float32) + np.asarray(zero_point, np.float32)))
        case Function(name, parameters):
            return apply_function(name, x, dict(parameters))
        case Fork(left, right):
            return np.asarray(_fold(left, x) * _fold(right, x))
        case Sign():
            return np.asarray(np.sign(x))
        case Count(thresholds):
            return np.asarray(sum((x >= column for column in thresholds.T), np.zeros(x.shape)), np.float32)
        case Quantize():
            return _quantize(operator, x)


def _fold(chain: Chain, x: FloatArray) -> FloatArray:
    for operator in chain:
        x = _apply(operator, x)
    return x


def _quantize(operator: Quantize, x: FloatArray) -> FloatArray:
    v = np.asarray(x / np.asarray(operator.scale, np.float32) + np.asarray(operator.zero_point, np.float32))
    if operator.rounding == "SIGN":
        return np.asarray(np.where(v >= 0, np.float32(1), np.float32(-1)))
    v = np.minimum(np.maximum(v, np.float32(operator.lo)), np.float32(operator.hi))
    return np.asarray(ROUNDINGS[operator.rounding](v))


def is_monotone(chain: Chain) -> bool:
    """Whether every channel of a chain is proven rising or falling in this arithmetic.

    A correctly rounded operator that is monotone in the reals stays monotone in float32. Sigmoid, tanh and the other functions
    are not correctly rounded (they are rounded from a float64 library value), so they are not proven.
    """
    return not any(
        isinstance(operator, Abs | Sigmoid | Tanh | Function | Fork) or _folds(operator) for operator in chain
    )


def _folds(operator: Operator) -> bool:
    """Whether an operator turns back: a leaky slope below zero."""
    return isinstance(operator, LeakyRelu) and bool(np.any(np.asarray(operator.slope) < 0))
