# SPDX-License-Identifier: Apache-2.0
"""Models of elements that add, multiply and compare."""

from __future__ import annotations

import numpy as np

from bitlens.fpga.memory import Memory
from bitlens.fpga.models.lanes import IntArray, join_lanes, split_lanes

__all__ = ["add", "argmax", "depthwise", "multiply", "pool"]

Parameters = dict[str, int]
Memories = dict[str, Memory]


def _two(p: Parameters, a: IntArray, b: IntArray) -> tuple[IntArray, IntArray]:
    one = split_lanes(a, p["LANES"], p["A_BITS"], p["A_SIGNED"])
    return one, split_lanes(b, p["LANES"], p["B_BITS"], p["B_SIGNED"])


def add(p: Parameters, memories: Memories, a: IntArray, b: IntArray) -> IntArray:
    """Lane by lane."""
    one, two = _two(p, a, b)
    return join_lanes(one + two, p["OUT_BITS"])


def multiply(p: Parameters, memories: Memories, a: IntArray, b: IntArray) -> IntArray:
    """Lane by lane."""
    one, two = _two(p, a, b)
    return join_lanes(one * two, p["OUT_BITS"])


def pool(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """The largest of the taps, or their sum, channel by channel."""
    numbers = split_lanes(beats, p["LANES"], p["IN_BITS"], p["IN_SIGNED"])
    taps = numbers.reshape(-1, p["TAPS"], p["FOLDS"], p["LANES"])
    folded = taps.sum(axis=1) if p["SUM"] else taps.max(axis=1)
    return join_lanes(folded.reshape(-1, p["LANES"]), p["OUT_BITS"])


def depthwise(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Sums of the taps by their weights, channel by channel."""
    numbers = split_lanes(beats, p["LANES"], p["IN_BITS"], p["IN_SIGNED"])
    words = np.array(memories["WEIGHTS"].words)  # of (tap, fold)
    weights = split_lanes(words, p["LANES"], p["WEIGHT_BITS"], signed=1).reshape(p["TAPS"], p["FOLDS"], p["LANES"])
    sums = (numbers.reshape(-1, p["TAPS"], p["FOLDS"], p["LANES"]) * weights).sum(axis=1)
    return join_lanes(sums.reshape(-1, p["LANES"]), p["OUT_BITS"])


def argmax(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Number of the first largest channel."""
    numbers = split_lanes(beats, p["LANES"], p["IN_BITS"], p["IN_SIGNED"])
    return np.asarray(numbers.reshape(-1, p["FOLDS"] * p["LANES"]).argmax(axis=1), np.int64)
