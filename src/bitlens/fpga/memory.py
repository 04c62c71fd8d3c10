# SPDX-License-Identifier: Apache-2.0
"""Contents of ROMs: weights, step tables and rescales as words, fields from the lowest bit up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.steps import NEVER

__all__ = ["Memory", "pack_fields", "rescale_table", "step_table", "weight_words", "whole_table"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Memory:
    """Contents of a ROM: one number a word; made when they are asked for, since a plan needs but the size.

    Args:
        depth: words.
        width: bits of a word.
        make: the words as Python integers, that of address 0 first.
        toggles: of step tables whose values are the same in all rows: for each bit of a value how many breakpoints change it.
    """

    depth: int
    width: int
    make: Callable[[], list[int]]
    toggles: tuple[int, ...] | None = None

    @cached_property
    def words(self) -> list[int]:
        """All words, that of address 0 first."""
        return self.make()

    @cached_property
    def columns(self) -> int:
        """Bits of a word that are not the same in all words: what a synthesis tool keeps."""
        varying = 0
        for word in self.words:
            varying |= word ^ self.words[0]
        return varying.bit_count()


def pack_fields(*columns: tuple[npt.NDArray[Any], int]) -> Memory:
    """Words of a ROM out of columns of fields, the first column and each column's first field lowest.

    Args:
        columns: integers (words, fields) and the bits of one field, two's complement, at most 63.
    """
    width = sum(fields.shape[1] * bits for fields, bits in columns)
    return Memory(
        len(columns[0][0]),
        width,
        lambda: _join(np.concatenate([_bits(np.asarray(fields, np.int64), bits) for fields, bits in columns], axis=1)),
    )


def weight_words(weights: npt.NDArray[Any], pe: int, simd: int, bits: int) -> Memory:
    """Weights of a matrix-vector unit: the word of (out fold, in fold) holds PE lanes of SIMD weights.

    Args:
        weights: (outputs, inputs) integers.
        pe, simd: divide outputs and inputs.
        bits: of one weight.
    """
    outputs, inputs = weights.shape

    def words() -> list[int]:
        lanes = weights.reshape(outputs // pe, pe, inputs // simd, simd).transpose(0, 2, 1, 3)
        return _join(_bits(np.asarray(lanes.reshape(-1, pe * simd), np.int64), bits))

    return Memory(outputs * inputs // (pe * simd), pe * simd * bits, words)


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

    def words() -> list[int]:
        lowest, largest = -(1 << (in_bits - 1)), (1 << (in_bits - 1)) - 1
        moved = breakpoints if bias is None else breakpoints - bias[:, None]
        moved = np.where(breakpoints == NEVER, largest, np.clip(moved, lowest, largest))
        return _rows(((moved, in_bits), (values, out_bits)), rows, lanes)

    levels, toggles = breakpoints.shape[1], None
    if (values == values[:1]).all():
        changes = values[0, 1:] ^ values[0, :-1]
        toggles = tuple(int((changes >> bit & 1).sum()) for bit in range(out_bits))
    return Memory(rows // lanes, lanes * (levels * in_bits + (levels + 1) * out_bits), words, toggles)


def whole_table(steps: Mapping[str, Any]) -> tuple[IntArray, IntArray]:
    """Breakpoints and values of a `steps` node, with a breakpoint that nothing reaches where there is none: elements want one.

    Args:
        steps: attributes.
    """
    breakpoints, values = np.asarray(steps["breakpoints"], np.int64), np.asarray(steps["values"], np.int64)
    if breakpoints.shape[1]:
        return breakpoints, values
    return np.full((len(values), 1), NEVER), np.repeat(values, 2, axis=1)


def rescale_table(multiplier: IntArray, addend: IntArray, rows: int, lanes: int) -> tuple[Memory, tuple[int, int]]:
    """Rescales: the word of a fold holds multiplier and addend of each lane, and the bits of both.

    Args:
        multiplier, addend: (1 or rows,).
        rows: channels; a multiple of `lanes`.
    """
    widths = tuple(max(abs(int(x)).bit_length() for x in column) + 1 for column in (multiplier, addend))
    fields = [np.asarray(column, np.int64)[:, None] for column in (multiplier, addend)]
    columns = list(zip(fields, widths, strict=True))
    memory = Memory(rows // lanes, lanes * sum(widths), lambda: _rows(columns, rows, lanes))
    return memory, (widths[0], widths[1])


def _rows(columns: Iterable[tuple[IntArray, int]], rows: int, lanes: int) -> list[int]:
    """Words of `lanes` rows each; every row holds its fields of all columns, one row for all where there is but one."""
    row = [_bits(np.broadcast_to(fields, (rows, fields.shape[1])), bits) for fields, bits in columns]
    return _join(np.concatenate(row, axis=1).reshape(rows // lanes, -1))


def _bits(fields: IntArray, width: int) -> npt.NDArray[np.uint8]:
    """(rows, fields) -> (rows, fields * width), the lowest bit first."""
    return ((fields[:, :, None] >> np.arange(width)) & 1).astype(np.uint8).reshape(len(fields), -1)


def _join(bits: npt.NDArray[np.uint8]) -> list[int]:
    """(words, bits), the lowest first -> numbers."""
    return [int.from_bytes(row.tobytes(), "little") for row in np.packbits(bits, axis=1, bitorder="little")]
