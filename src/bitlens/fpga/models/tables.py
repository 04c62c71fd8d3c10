# SPDX-License-Identifier: Apache-2.0
"""Models of elements that read tables: step tables, rescales, lookups."""

from __future__ import annotations

import numpy as np

from bitlens.fpga.memory import Memory
from bitlens.fpga.models.lanes import IntArray, join_lanes, split_lanes

__all__ = ["bisect", "lookup", "rescale", "steps"]

Parameters = dict[str, int]
Memories = dict[str, Memory]


def _fields(memory: Memory, lanes: int, *widths: tuple[int, int]) -> list[list[list[int]]]:
    """Words as integers: for each word, for each lane, the fields of (count, bits), two's complement."""
    rows = []
    for word in memory.words:
        left, row = word, []
        for _ in range(lanes):
            fields = []
            for count, bits in widths:
                for _ in range(count):
                    code, left = left & ((1 << bits) - 1), left >> bits
                    fields.append(code - (code >> (bits - 1) << bits))
            row.append(fields)
        rows.append(row)
    return rows


def steps(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """The value behind the last breakpoint that is reached."""
    numbers, levels = split_lanes(beats, p["LANES"], p["IN_BITS"], signed=1), p["LEVELS"]
    table = _fields(memories["TABLE"], p["LANES"], (levels, p["IN_BITS"]), (levels + 1, p["OUT_BITS"]))
    out = np.zeros_like(numbers)
    for beat, row in enumerate(numbers):
        for lane, number in enumerate(row):
            entry = table[beat % p["FOLDS"] % p["ROWS"]][lane]
            out[beat, lane] = entry[levels + sum(number >= breakpoint for breakpoint in entry[:levels])]
    return join_lanes(out, p["OUT_BITS"])


def bisect(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """The value behind the last breakpoint that is reached; the breakpoints put together from the stages' memories."""
    numbers, stages, rows = split_lanes(beats, p["LANES"], p["IN_BITS"], signed=1), p["STAGES"], p["ROWS"]
    out = np.zeros_like(numbers)
    for lane in range(p["LANES"]):
        breakpoints, values = np.zeros((rows, (1 << stages) - 1), np.int64), None
        for stage in range(stages):
            words = np.array(memories[f"TABLE.{lane:02}.{stage:02}"].words)
            middles = split_lanes(words, 1, p["IN_BITS"], signed=1).reshape(rows, -1)
            breakpoints[:, (1 << stages - 1 - stage) - 1 :: 1 << stages - stage] = middles
        values = np.broadcast_to(p["FIRST"] + np.arange(1 << stages), (rows, 1 << stages))
        if not p["COUNTS"]:
            values = np.array(memories[f"TABLE.{lane:02}.{stages:02}"].words).reshape(rows, -1)
        for beat, number in enumerate(numbers[:, lane]):
            row = beat % p["FOLDS"] % rows
            out[beat, lane] = values[row, (number >= breakpoints[row]).sum()]
    return join_lanes(out, p["OUT_BITS"])


def rescale(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Multiply, add, shift and clamp."""
    numbers = split_lanes(beats, p["LANES"], p["IN_BITS"], p["IN_SIGNED"])
    table = _fields(memories["TABLE"], p["LANES"], (1, p["MULTIPLIER_BITS"]), (1, p["ADDEND_BITS"]))
    out = np.zeros_like(numbers)
    for beat, row in enumerate(numbers):
        for lane, number in enumerate(row):
            (multiplier, addend) = table[beat % p["FOLDS"] % p["ROWS"]][lane]
            out[beat, lane] = min(max((multiplier * int(number) + addend) >> p["SHIFT"], p["LO"]), p["HI"])
    return join_lanes(out, p["OUT_BITS"])


def lookup(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """The beats of a row for every number."""
    return np.array(memories["TABLE"].words).reshape(-1, p["FOLDS"])[beats].ravel()
