# SPDX-License-Identifier: Apache-2.0
"""A tensor of the reference arithmetic: real values and, where a quantizer made it, the integers behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Node
from bitlens.graph.spec import CompileError

__all__ = ["Array", "Rule", "Tensor", "across_channels", "alike", "each", "integers_of", "same"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """Real values and, if known, the integers behind them.

    Args:
        real: float32 (or a shape's int64).
        integers: int64 of the same shape, or None. real = integers * unit, rounded to float32.
        unit: float32, scalar or with as many axes as the tensor.
        sums: exact sums (O on axis 1) of a product, before unit and bias; for comparison only.
        whole: these numbers as integers with a unit, where scale and a whole offset have made them of integers. Its real
            values may differ from these by float32's rounding.
        constant: whether it does not depend on the inputs.
    """

    real: Array
    integers: npt.NDArray[np.int64] | None = None
    unit: npt.NDArray[np.float32] | None = None
    sums: npt.NDArray[np.int64] | None = None
    whole: Tensor | None = None
    constant: bool = False

    @property
    def exact(self) -> Tensor | None:
        """The tensor as integers with a unit, None where it is real."""
        return self.whole if self.integers is None else self

    @classmethod
    def quantized(
        cls, integers: npt.NDArray[np.int64], unit: Array, sums: npt.NDArray[np.int64] | None = None
    ) -> Tensor:
        """The tensor of integers with a unit."""
        return cls(integers.astype(np.float32) * unit, integers, unit, sums)

    def moved(self, move: Callable[[Array], Array]) -> Tensor:
        """The tensor with its elements moved; a unit with axes is moved along."""
        if self.integers is None or self.unit is None:
            return Tensor(move(self.real), whole=None if self.whole is None else self.whole.moved(move))
        unit = self.unit if self.unit.ndim == 0 else _narrowed(move(np.broadcast_to(self.unit, self.integers.shape)))
        return Tensor.quantized(move(self.integers), unit)

    def spread(self, move: Callable[[Array], Array]) -> Tensor:
        """The tensor with its pixels moved, new ones 0; a unit with axes must be one number a channel and stays.

        Raises:
            ValueError: the unit differs from pixel to pixel.
        """
        if self.integers is None or self.unit is None:
            return Tensor(move(self.real), whole=None if self.whole is None else self.whole.spread(move))
        if self.unit.ndim and any(size != 1 for size in self.unit.shape[-2:]):
            raise ValueError("the unit must be one number a channel")
        return Tensor.quantized(move(self.integers), self.unit)


def _narrowed(unit: Array) -> Array:
    """A unit with one number along every axis on which all are alike."""
    for axis in range(unit.ndim):
        first = unit.take([0], axis) if unit.shape[axis] else unit
        unit = first if np.array_equal(np.broadcast_to(first, unit.shape), unit) else unit
    return unit


def across_channels(numbers: npt.NDArray[np.float32], rank: int) -> npt.NDArray[np.float32]:
    """One number () or one per channel (C,), shaped to meet a tensor (N, C, ...) of this rank."""
    return numbers if numbers.ndim == 0 else numbers.reshape(-1, *(1,) * (rank - 2))


Rule = Callable[[Node, list[Tensor | None]], Tensor]


def integers_of(node: Node, *tensors: Tensor | None) -> list[npt.NDArray[np.int64]]:
    """The integers of tensors that must have some."""
    found = []
    for tensor in tensors:
        if tensor is None or tensor.integers is None:
            raise CompileError(
                f"{node.name}: input of {node.op} must be quantized, not float; put a quantizer before it"
            )
        found.append(tensor.integers)
    return found


def each(rule: Callable[..., Array]) -> Rule:
    """A rule on real values, one number at a time."""
    return lambda node, operands: Tensor(np.asarray(rule(node.attrs, *alike(operands))))


def alike(operands: list[Tensor | None]) -> list[Array]:
    """Real values of one type: whole numbers beside float32 become float32."""
    arrays = [x.real for x in operands if x is not None]
    mixed = any(array.dtype == np.float32 for array in arrays)
    return [array.astype(np.float32) for array in arrays] if mixed else arrays


def same(node: Node, operands: list[Tensor | None]) -> Tensor:
    """The rule of what changes nothing."""
    assert operands[0] is not None
    return operands[0]
