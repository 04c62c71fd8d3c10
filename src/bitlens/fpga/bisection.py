# SPDX-License-Identifier: Apache-2.0
"""Memories of step tables that are searched by halves (`rtl/bisect.sv`): one for every lane and stage.

Stage s holds, for each row, the breakpoints that stand in the middle of the 2^s parts that the stages before it leave.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.steps import NEVER
from bitlens.fpga.memory import Memory, pack_fields

__all__ = ["bisection", "stages_of"]

IntArray = npt.NDArray[np.int64]


def stages_of(levels: int) -> int:
    """Stages for so many breakpoints."""
    return max(1, levels.bit_length())


def bisection(
    breakpoints: IntArray, values: IntArray, rows: int, lanes: int, in_bits: int, out_bits: int
) -> tuple[dict[str, Memory], int | None]:
    """Memories of an element by the names of its files, and the first value where values count up by one.

    Args:
        breakpoints, values: (1 or rows, J) and (1 or rows, J + 1); `NEVER` becomes the largest integer of `in_bits`.
        rows: channels; a multiple of `lanes`.
        in_bits, out_bits: of a breakpoint and of a value, two's complement.

    Returns:
        Memories by `TABLE.<lane>.<stage>`, those of values last in every lane; none where there is a first value.
    """
    levels = breakpoints.shape[1]
    stages = stages_of(levels)
    lacking = (1 << stages) - 1 - levels
    largest = (1 << (in_bits - 1)) - 1
    sorted_ones = np.pad(
        np.where(breakpoints == NEVER, largest, breakpoints), ((0, 0), (0, lacking)), constant_values=largest
    )
    every = np.broadcast_to(sorted_ones, (rows, sorted_ones.shape[1])).reshape(rows // lanes, lanes, -1)
    ends = np.broadcast_to(np.pad(values, ((0, 0), (0, lacking)), mode="edge"), (rows, 1 << stages))
    first = int(values[0, 0])
    counts = bool((values == first + np.arange(levels + 1)).all())
    memories = {}
    for lane in range(lanes):
        for stage in range(stages):
            middle = (np.arange(1 << stage) * 2 + 1 << stages - 1 - stage) - 1
            memories[f"TABLE.{lane:02}.{stage:02}"] = pack_fields((every[:, lane, middle].reshape(-1, 1), in_bits))
        if not counts:
            found = ends.reshape(rows // lanes, lanes, -1)[:, lane]
            memories[f"TABLE.{lane:02}.{stages:02}"] = pack_fields((found.reshape(-1, 1), out_bits))
    return memories, first if counts else None
