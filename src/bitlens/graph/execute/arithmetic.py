# SPDX-License-Identifier: Apache-2.0
"""Reference rules of sums, differences and products of tensors, and of a tensor with a constant.

Two computed tensors of integers meet as integers: exactly, in their common unit, or in the product of their units. Beside a
constant all is float32, one operation after the other; where that only scales integers, or shifts them by whole units, the
result knows the integers it stands for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bitlens.graph.execute.tensor import Array, Rule, Tensor, alike
from bitlens.graph.graph import Node
from bitlens.graph.units import common_unit, scaled_unit, whole_multiple

__all__ = ["ARITHMETIC"]

IntArray = npt.NDArray[np.int64]


def _two(operands: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    a, b = operands
    if a is None or b is None:
        raise ValueError("two operands are needed")
    return a, b


def _joined(a: Tensor, b: Tensor, combine: Callable[[IntArray, IntArray], IntArray]) -> Tensor | None:
    """Integers of two computed tensors in their common unit, None where they have none."""
    first, second = a.exact, b.exact
    if a.constant or b.constant or first is None or second is None:
        return None
    assert first.unit is not None and second.unit is not None
    assert first.integers is not None and second.integers is not None
    found = common_unit([first.unit, second.unit])
    if found is None:
        return None
    unit, (m, n) = found
    return Tensor.quantized(combine(m * first.integers, n * second.integers), unit)


def _shifted(x: Tensor, constant: Array, sign: int = 1) -> Tensor | None:
    """Sign * x + constant as integers, None where the constant is no whole number of units."""
    exact = x.exact
    if exact is None or constant.dtype != np.float32:
        return None
    assert exact.integers is not None and exact.unit is not None
    addend = whole_multiple(constant, exact.unit)
    return None if addend is None else Tensor.quantized(sign * exact.integers + addend, exact.unit)


def _scaled(x: Tensor, constant: Array, *, divide: bool = False) -> Tensor | None:
    """X times or by a constant as integers in another unit, None where that changes signs here and not there."""
    exact = x.exact
    if exact is None or constant.dtype != np.float32:
        return None
    assert exact.integers is not None and exact.unit is not None
    factor = constant
    if factor.size and factor.min() == factor.max():
        factor = factor.flat[0]
    elif factor.ndim < exact.integers.ndim:
        factor = factor.reshape((1,) * (exact.integers.ndim - factor.ndim) + factor.shape)
    found = scaled_unit(exact.unit, factor, divide=divide)
    return None if found is None else Tensor.quantized(found[0] * exact.integers, found[1])


def _add(node: Node, operands: list[Tensor | None]) -> Tensor:
    a, b = _two(operands)
    joined = _joined(a, b, lambda m, n: m + n)
    if joined is not None:
        return joined
    first, second = alike(operands)
    whole = _shifted(a, second) if b.constant else _shifted(b, first) if a.constant else None
    return Tensor(first + second, whole=whole)


def _subtract(node: Node, operands: list[Tensor | None]) -> Tensor:
    a, b = _two(operands)
    joined = _joined(a, b, lambda m, n: m - n)
    if joined is not None:
        return joined
    first, second = alike(operands)
    whole = _shifted(a, -second) if b.constant else _shifted(b, first, -1) if a.constant else None
    return Tensor(first - second, whole=whole)


def _multiply(node: Node, operands: list[Tensor | None]) -> Tensor:
    a, b = _two(operands)
    first, second = a.exact, b.exact
    if first is not None and second is not None and not (a.constant or b.constant):
        assert first.unit is not None and second.unit is not None
        assert first.integers is not None and second.integers is not None
        return Tensor.quantized(first.integers * second.integers, np.asarray(first.unit * second.unit))
    reals = alike(operands)
    whole = _scaled(a, reals[1]) if b.constant else _scaled(b, reals[0]) if a.constant else None
    return Tensor(reals[0] * reals[1], whole=whole)


def _divide(node: Node, operands: list[Tensor | None]) -> Tensor:
    a, b = _two(operands)
    first, second = alike(operands)
    if first.dtype.kind != "f":
        return Tensor(_truncated(first, second))
    return Tensor(first / second, whole=_scaled(a, second, divide=True) if b.constant else None)


def _truncated(a: Array, b: Array) -> Array:
    """A / b of whole numbers, rounded toward 0 as ONNX does."""
    if not np.all(b):
        raise ValueError("divisor must not be 0")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def _negate(node: Node, operands: list[Tensor | None]) -> Tensor:
    (x,) = operands
    if x is None:
        raise ValueError("an operand is needed")
    return Tensor(-x.real, whole=_scaled(x, np.full((), -1, np.float32)))


ARITHMETIC: dict[str, Rule] = {"Add": _add, "Sub": _subtract, "Mul": _multiply, "Div": _divide, "Neg": _negate}
