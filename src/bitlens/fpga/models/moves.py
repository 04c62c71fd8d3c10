# SPDX-License-Identifier: Apache-2.0
"""Models of elements that move beats."""

from __future__ import annotations

import numpy as np

from bitlens.fpga.memory import Memory
from bitlens.fpga.models.lanes import IntArray, join_lanes, split_lanes

__all__ = ["concat2", "extend", "narrow", "reorder", "same", "slide", "upsample", "widen", "window"]

Parameters = dict[str, int]
Memories = dict[str, Memory]


def same(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """`fifo` and either side of `fork2`."""
    return beats


def extend(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """The same integers in more bits."""
    return join_lanes(split_lanes(beats, p["LANES"], p["IN_BITS"], p["IN_SIGNED"]), p["OUT_BITS"])


def narrow(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Parts of a word, the lowest first."""
    return split_lanes(beats, p["FACTOR"], p["WIDTH"]).ravel()


def widen(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Several words as one, the first lowest."""
    return join_lanes(beats.reshape(-1, p["FACTOR"]), p["WIDTH"])


def concat2(p: Parameters, memories: Memories, a: IntArray, b: IntArray) -> IntArray:
    """Beats of a, then beats of b, for every pixel."""
    return np.concatenate([a.reshape(-1, p["A_FOLDS"]), b.reshape(-1, p["B_FOLDS"])], axis=1).ravel()


def reorder(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Every block's beats by their numbers."""
    return beats.reshape(-1, p["TAKES"])[:, np.array(memories["ORDER"].words)].ravel()


def window(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Taps of every window; of a whole column in one beat where COLUMN."""
    images = beats.reshape(-1, p["HEIGHT"], p["WIDTH"], p["FOLDS"])
    found = []
    for image in images:
        for oy in range(p["OUT_HEIGHT"]):
            for ox in range(p["OUT_WIDTH"]):
                taps = np.full((p["KERNEL_H"], p["KERNEL_W"], p["FOLDS"]), p["FILL"])
                for ky in range(p["KERNEL_H"]):
                    for kx in range(p["KERNEL_W"]):
                        y = oy * p["STRIDE_H"] - p["PAD_TOP"] + ky * p["DILATION_H"]
                        x = ox * p["STRIDE_W"] - p["PAD_LEFT"] + kx * p["DILATION_W"]
                        if 0 <= y < p["HEIGHT"] and 0 <= x < p["WIDTH"]:
                            taps[ky, kx] = image[y, x]
                found.append(taps)
    every = np.array(found)  # (windows, kernel height, kernel width, folds)
    if not p["COLUMN"]:
        return every.ravel()
    return join_lanes(every.transpose(0, 2, 3, 1).reshape(-1, p["KERNEL_H"]), p["BEAT"])


def slide(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Windows of every row of columns, the first column lowest."""
    rows = beats.reshape(-1, p["COLUMNS"])
    reach = p["DILATION"] * (p["KERNEL"] - 1)
    windows = [rows[:, x : x + reach + 1 : p["DILATION"]] for x in range(0, p["COLUMNS"] - reach, p["STRIDE"])]
    return join_lanes(np.stack(windows, axis=1).reshape(-1, p["KERNEL"]), p["BEAT"])


def upsample(p: Parameters, memories: Memories, beats: IntArray) -> IntArray:
    """Pixels repeated, or zeros between them; then pads, or cuts."""
    images = beats.reshape(-1, p["HEIGHT"], p["WIDTH"], p["FOLDS"])
    out = np.zeros((len(images), p["OUT_HEIGHT"], p["OUT_WIDTH"], p["FOLDS"]), np.int64)
    for y in range(p["OUT_HEIGHT"]):
        for x in range(p["OUT_WIDTH"]):
            (line, line_rest) = divmod(y - p["PAD_TOP"], p["FACTOR_H"])
            (side, side_rest) = divmod(x - p["PAD_LEFT"], p["FACTOR_W"])
            inside = 0 <= line < p["HEIGHT"] and 0 <= side < p["WIDTH"]
            if inside and (p["REPEAT"] or not (line_rest or side_rest)):
                out[:, y, x] = images[:, line, side]
    return out.ravel()
