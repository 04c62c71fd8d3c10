# SPDX-License-Identifier: Apache-2.0
"""Thresholds as the contents of the unit's search: a level for every bit of a code (`rtl/unit_search.sv`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.steps import NEVER
from bitlens.fpga.unit.layers import Layer
from bitlens.fpga.unit.requantize import ALWAYS
from bitlens.fpga.unit.size import UnitSize

__all__ = ["search_table"]

IntArray = npt.NDArray[np.int64]


def search_table(layer: Layer, constant: IntArray, lo: IntArray, hi: IntArray, size: UnitSize) -> npt.NDArray[np.uint8]:
    """The words of a layer's table: for each level, group, bits found so far and lane an entry of whole words.

    Args:
        layer: with its thresholds.
        constant: (O,), what a sum has above the unit's total.
        lo, hi: (O,), range of the totals.
        size: of the unit.

    Returns:
        uint8 (words, simd).
    """
    outputs = len(layer.core.weights)
    rows = -(-outputs // size.pe) * size.pe
    lowest, highest = -(1 << (size.acc_bits - 1)), (1 << (size.acc_bits - 1)) - 1
    levels = []
    if layer.thresholds is None:
        levels.append(np.pad(constant, (0, rows - outputs))[:, None])
    else:
        moved = layer.thresholds - constant[:, None]
        moved = np.where((layer.thresholds == ALWAYS) | (moved <= lo[:, None]), lowest, moved)
        moved = np.where((layer.thresholds == NEVER) | (moved > hi[:, None]), highest, moved)
        moved = np.pad(moved, ((0, rows - outputs), (0, 0)))
        for level in range(layer.bits):  # threshold p is met where its lowest set bit is decided
            half = 1 << (layer.bits - 1 - level)
            levels.append(moved[:, half - 1 :: 2 * half])
    entries = []
    mask = (1 << size.acc_bits) - 1
    for level, part in enumerate(levels):  # (rows, 2^level) -> (groups, 2^level, lanes)
        codes = part & mask
        if level == 0:
            codes = codes | (np.pad(layer.falls, (0, rows - outputs)).astype(np.int64)[:, None] << size.acc_bits)
        entries.append(codes.reshape(rows // size.lanes, size.lanes, -1).transpose(0, 2, 1).ravel())
    numbers = np.concatenate(entries)
    digits = (numbers[:, None] >> (2 * np.arange(min(32, size.entry_words * size.simd)))) & 3
    digits = np.pad(digits, ((0, 0), (0, size.entry_words * size.simd - digits.shape[1])))
    return digits.astype(np.uint8).reshape(-1, size.simd)
