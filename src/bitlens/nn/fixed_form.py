# SPDX-License-Identifier: Apache-2.0
"""The fixed form of a recurrent layer: all that stands between two matrix products is fixed point.

Gates are unsigned fractions of g bits, so 1 - u is exactly 2^g - U; a cell has its own point; a state is an integer of the
unit interval. Every product and sum of these is an integer below 2^24 in its finest unit, so float32 holds it exactly:
the arithmetic of the paper's form, with these roundings between, is integer arithmetic. This file checks the bound.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from bitlens.nn.layer import EXACT_FLOAT32
from bitlens.quant.base import QuantError, Quantizer
from bitlens.quant.state import FixedPoint, UnitActivation

__all__ = ["check_gru", "check_lstm", "sharing_copy"]

M = TypeVar("M", bound=nn.Module)


def sharing_copy(module: M) -> M:
    """Return a copy of a module that has the same parameters.

    What a frozen module has stored is copied: after more training both must be frozen again.
    """
    return copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()})


def check_lstm(
    state: UnitActivation | None, weight: Quantizer | None, gate: FixedPoint | None, cell: FixedPoint | None
) -> None:
    """Check that an LSTM's quantizers make the paper's form or an exact fixed form.

    The cell's sum in its finest unit 2^-(g + max(g, f)), with g bits of a gate and f fraction bits of the cell:
        F C 2^(max - f) + I J 2^(max - g) + half a unit of the cell
    The state in units of 2^-2g: n S O + half.

    Raises:
        QuantError: they do not; the sentence names the quantizer or the product.
    """
    if gate is None and cell is None:
        return
    if gate is None or cell is None:
        raise QuantError("QuantLSTM: gate_quantizer and cell_quantizer must be given together, not one")
    state = _check_operands("QuantLSTM", state, [weight], gate)
    g, f, top = gate.bits, cell.fraction, gate.grid.hi
    finest = max(g, f)
    largest = (top * cell.grid.hi << (finest - f)) + (top * top << (finest - g)) + (1 << (g + finest - f - 1))
    _check_exact("QuantLSTM", "f c + i j", largest)
    _check_exact("QuantLSTM", "sigmoid(c) o", state.grid.hi * top * top + (1 << (2 * g - 1)))


def check_gru(
    state: UnitActivation | None, weight: Quantizer | None, candidate: Quantizer | None, gate: FixedPoint | None
) -> None:
    """Check that a GRU's quantizers make the paper's form or an exact fixed form.

    The state in units of 2^-g: U H + (2^g - U) C + half, at most 2^g n + half.

    Raises:
        QuantError: they do not; the sentence names the quantizer or the product.
    """
    if gate is None:
        return
    state = _check_operands("QuantGRU", state, [weight, candidate], gate)
    _check_exact("QuantGRU", "u h + (1 - u) c", (state.grid.hi << gate.bits) + (1 << (gate.bits - 1)))


def _check_operands(
    layer: str, state: UnitActivation | None, weights: list[Quantizer | None], gate: FixedPoint
) -> UnitActivation:
    if state is None or None in weights:
        raise QuantError(f"{layer}: weights and states must be quantized in the fixed form, not float")
    if gate.bits != gate.fraction:
        raise QuantError(
            f"{layer}: gate_quantizer must have {gate.bits} fraction bits like its bits, not {gate.fraction}"
        )
    return state


def _check_exact(layer: str, product: str, largest: int) -> None:
    if largest >= EXACT_FLOAT32:
        raise QuantError(f"{layer}: {product} must stay below 2^24 in its finest unit, not {largest}")
