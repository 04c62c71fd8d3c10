# SPDX-License-Identifier: Apache-2.0
"""Weights as digits of 2 bits: weight = 2^twice * (digits' value) + gain, digits -2 to 1 (`rtl/unit_array.sv`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.fpga.unit.layers import Core
from bitlens.fpga.unit.size import UnitSize

__all__ = ["Digits", "find_digits", "weight_words"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Digits:
    """The form of a layer's weights.

    Args:
        count: digits.
        twice: whether weights differ by 2: odd ones have no zero and need a bit less.
        gain: added to all.
    """

    count: int
    twice: bool
    gain: int

    def split(self, weights: IntArray) -> npt.NDArray[np.uint8]:
        """Weights (...) -> digits (count, ...), the lowest first, two's complement of 2 bits."""
        left = (weights - self.gain) >> int(self.twice)
        digits = []
        for _ in range(self.count):
            digits.append(left & 3)
            left = (left - (((left & 3) ^ 2) - 2)) >> 2  # the digit as -2 to 1
        return np.array(digits, np.uint8)


def find_digits(weights: IntArray, zero: bool) -> Digits:
    """The fewest digits that hold all weights.

    Args:
        weights: integers.
        zero: whether 0 must be a weight too: lanes without a channel.
    """
    lo, hi = int(weights.min()), int(weights.max())
    twice = bool(np.all((weights - lo) % 2 == 0)) and hi > lo
    if zero:
        lo, hi, twice = min(lo, 0), max(hi, 0), twice and lo % 2 == 0
    unit = 1 + twice
    count = 1
    while (hi - lo) // unit > (1 << (2 * count)) - 1:
        count += 1
    lowest = -2 * ((1 << (2 * count)) - 1) // 3
    return Digits(count, twice, lo - unit * lowest)


def weight_words(
    core: Core, digits: Digits, zero: bool, size: UnitSize, folds: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """The words of a layer's weights as the loops take them: (out fold, digit, tap, fold), each PE words of SIMD digits.

    Args:
        core: its weights (O, kh, kw, C), or diagonal (C, kh, kw, views).
        digits: their form.
        zero: whether lanes without a channel must weigh 0.
        size: of the unit.
        folds: words of a digit of a pixel, of every view.

    Returns:
        uint8 (words, simd).
    """
    outputs, kh, kw, _ = core.weights.shape
    out_folds = -(-outputs // size.pe)
    taps = kh * kw
    lanes = len(folds) if core.diagonal else sum(folds)
    full = np.full(
        (out_folds * size.pe, taps, lanes * size.simd), 0 if zero else digits.gain, np.int64
    )  # where numbers are 0, any digits will do
    if core.diagonal:
        channels = np.arange(outputs)
        for side in range(len(folds)):
            place = side * size.simd + channels % size.simd
            for tap in range(taps):
                full[channels, tap, place] = core.weights[:, tap // kw, tap % kw, side]
    else:
        begin = lane = 0
        for view, fold in zip(core.views, folds, strict=True):
            part = core.weights[:, :, :, begin : begin + view.channels].reshape(outputs, taps, -1)
            full[:outputs, :, lane : lane + view.channels] = part
            begin, lane = begin + view.channels, lane + fold * size.simd
    split = digits.split(full)  # (digits, O, taps, lanes * simd)
    split = split.reshape(digits.count, out_folds, size.pe, taps, lanes, size.simd)
    return np.asarray(split.transpose(1, 0, 3, 4, 2, 5).reshape(-1, size.simd))
