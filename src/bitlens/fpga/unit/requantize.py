# SPDX-License-Identifier: Apache-2.0
"""Requantizations as thresholds of codes: what the binary search of the unit compares with.

A code counts from the smallest integer of the grid. Threshold p of a channel that rises is the smallest sum whose code is at
least p; of one that falls the smallest sum whose code is at most 2^bits - 1 - p. So thresholds ascend and how many are reached
is the code.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.layers import code_bits
from bitlens.graph.graph import Node

__all__ = ["ALWAYS", "exact_codes", "thresholds_of"]

IntArray = npt.NDArray[np.int64]
ALWAYS = -int(NEVER)  # below every sum


def exact_codes(grid: Grid, channels: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Thresholds of sums that are integers of the grid already: (channels, 2^bits - 1), and that none falls."""
    codes = grid.lo + np.arange(1, 1 << code_bits(grid))
    return np.tile(np.where(codes > grid.hi, NEVER, codes), (channels, 1)), np.zeros(channels, bool)


def thresholds_of(node: Node, grid: Grid, channels: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Thresholds of a `steps` or `rescale` node.

    Args:
        node: it.
        grid: of its result.
        channels: of its result.

    Returns:
        int64 (channels, 2^bits - 1), `ALWAYS` and `NEVER` where a sum cannot decide; bool (channels,), which channels fall.

    Raises:
        FpgaError: codes have more than 8 bits, or a channel rises and falls.
    """
    bits = code_bits(grid)
    if bits > 8:
        raise FpgaError(f"{node.name}: codes must have at most 8 bits for the unit, not {bits}; take --shape stream")
    row = _steps_row if node.op == "steps" else _rescale_row
    count = len(node.attrs["values" if node.op == "steps" else "multiplier"])
    rows = [row(node, place, grid, (1 << bits) - 1) for place in range(count)]
    thresholds = np.array([found for found, _ in rows], np.int64).reshape(count, -1)
    falls = np.array([falling for _, falling in rows])
    return np.repeat(thresholds, channels // count, axis=0), np.repeat(falls, channels // count)


def _steps_row(node: Node, place: int, grid: Grid, top: int) -> tuple[list[int], bool]:
    table = node.attrs["breakpoints"], node.attrs["values"]
    breakpoints, values = (np.asarray(rows[place % len(rows)], np.int64) for rows in table)
    shown = [
        i for i, b in enumerate(breakpoints) if b < NEVER and (i + 1 == len(breakpoints) or b < breakpoints[i + 1])
    ]
    codes = [int(values[0]) - grid.lo, *(int(values[i + 1]) - grid.lo for i in shown)]
    begins = [ALWAYS, *(int(breakpoints[i]) for i in shown)]
    falling = any(b < a for a, b in pairwise(codes))
    if falling and any(b > a for a, b in pairwise(codes)):
        raise FpgaError(f"{node.name}: steps must only rise or only fall for the unit, not both; take --shape stream")
    if falling:
        codes = [top - code for code in codes]
    reached = [next((b for b, code in zip(begins, codes, strict=True) if code >= p), NEVER) for p in range(1, top + 1)]
    return [int(b) for b in reached], falling


def _rescale_row(node: Node, place: int, grid: Grid, top: int) -> tuple[list[int], bool]:
    multiplier, addend, shift = (int(node.attrs[name][place]) for name in ("multiplier", "addend", "shift"))
    falling = multiplier < 0
    found = []
    for p in range(1, top + 1):
        if falling:  # value <= edge
            edge = grid.lo + top - p
            always, never = edge >= node.attrs["hi"], edge < node.attrs["lo"]
            begin = 0 if always or never else -((((edge + 1) << shift) - 1 - addend) // -multiplier)
        else:  # value >= edge
            edge = grid.lo + p
            always, never = edge <= node.attrs["lo"], edge > node.attrs["hi"]
            if multiplier == 0 and not (always or never):
                always = addend >> shift >= edge
                never = not always
            begin = 0 if always or never else -((addend - (edge << shift)) // multiplier)
        found.append(ALWAYS if always else int(NEVER) if never else max(ALWAYS, min(int(NEVER), begin)))
    return found, falling
