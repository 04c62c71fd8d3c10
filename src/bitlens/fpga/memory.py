# SPDX-License-Identifier: Apache-2.0
"""Contents of ROMs: weights, step tables and rescales as words, fields from the lowest bit up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.steps import NEVER

__all__ = ["Memory", "pack_fields", "rescale_table", "step_table", "weight_words"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Memory:
    """Contents of a ROM: one number a word.

    Args:
        words: as Python integers, the word of address 0 first.
        width: bits of a word.
    """

    words: Sequence[int]
    width: int


def pack_fields(*columns: tuple[npt.NDArray[Any], int]) -> Memory:
    """Words of a ROM out of columns of fields, the first column and each column's first field lowest.

    Args:
        columns: integers (words, fields) and the bits of one field, two's complement, at most 63.
    """
    bits = [_bits(np.asarray(fields, np.int64), width) for fields, width in columns]
    return _join(np.concatenate(bits, axis=1))


def weight_words(weights: npt.NDArray[Any], pe: int, simd: int, bits: int) -> Memory:
    """Weights of a matrix-vector unit: the word of (out fold, in fold) holds PE lanes of SIMD weights.

    Args:
        weights: (outputs, inputs) integers.
        pe, simd: divide outputs and inputs.
        bits: of one weight.
    """
    outputs, inputs = weights.shape
    lanes = weights.reshape(outputs // pe, pe, inputs // simd, simd).transpose(0, 2, 1, 3)
    return pack_fields((lanes.reshape(-1, pe * simd), bits))


def step_table(
    breakpoints: IntArray, values: IntArray, rows: int, lanes: int, in_bits: int, out_bits: int, bias: IntArray | None
) -> Memory:
    """Step tables: the word of a fold holds, lane 0 first, the breakpoints and then the values of each lane.

    Args:
        breakpoints, values: (1 or rows, J) and (1 or rows, J + 1); `NEVER` becomes the largest integer of `in_bits`.
        rows: channels; a multiple of `lanes`.
        in_bits, out_bits: of a breakpoint and of a value, two's complement.
        bias: (rows,) that the compared integers lack.
    """
    lowest, largest = -(1 << (in_bits - 1)), (1 << (in_bits - 1)) - 1
    moved = breakpoints if bias is None else breakpoints - bias[:, None]
    moved = np.where(breakpoints == NEVER, largest, np.clip(moved, lowest, largest))
    lane = [
        _bits(np.broadcast_to(numbers, (rows, numbers.shape[1])), bits)
        for numbers, bits in ((moved, in_bits), (values, out_bits))
    ]
    return _join(np.concatenate(lane, axis=1).reshape(rows // lanes, -1))


def rescale_table(
    multiplier: IntArray, addend: IntArray, shift: IntArray, rows: int, lanes: int
) -> tuple[Memory, tuple[int, int]]:
    """Rescales: the word of a fold holds multiplier, addend and shift (6 bits) of each lane, and the bits of the first two.

    Args:
        multiplier, addend, shift: (1 or rows,).
        rows: channels; a multiple of `lanes`.
    """
    widths = tuple(max(abs(int(x)).bit_length() for x in column) + 1 for column in (multiplier, addend))
    lane = [
        _bits(np.broadcast_to(np.asarray(column, np.int64)[:, None], (rows, 1)), width)
        for column, width in zip((multiplier, addend, shift), (*widths, 6), strict=True)
    ]
    return _join(np.concatenate(lane, axis=1).reshape(rows // lanes, -1)), (widths[0], widths[1])


def _bits(fields: IntArray, width: int) -> npt.NDArray[np.uint8]:
    """(rows, fields) -> (rows, fields * width), the lowest bit first."""
    return ((fields[:, :, None] >> np.arange(width)) & 1).astype(np.uint8).reshape(len(fields), -1)


def _join(bits: npt.NDArray[np.uint8]) -> Memory:
    packed = np.packbits(bits, axis=1, bitorder="little")
    return Memory([int.from_bytes(row.tobytes(), "little") for row in packed], bits.shape[1])
