# SPDX-License-Identifier: Apache-2.0
"""Which beats of its inputs an element needs before it gives a beat: the same whatever the timing.

Every element repeats itself: in a period it takes so many beats of each input and gives so many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.fpga.network import Element

__all__ = ["Flow", "flow_of"]

IntArray = npt.NDArray[np.int64]
Parameters = dict[str, int]


@dataclass(frozen=True)
class Flow:
    """One period of an element.

    Args:
        takes: beats of each input port.
        needs: by input port, for each beat that it gives, how many beats of the period must have come; rising.
        pace: cycles between two beats that it gives, at least.
    """

    takes: dict[str, int]
    needs: dict[str, IntArray]
    pace: int = 1

    @property
    def gives(self) -> int:
        """Beats out."""
        return len(next(iter(self.needs.values())))

    def needed(self, port: str, count: int) -> IntArray:
        """How many beats of a port the first `count` beats out need, each."""
        beats = np.arange(count)
        return np.asarray(self.needs[port][beats % self.gives] + beats // self.gives * self.takes[port])


def flow_of(element: Element) -> Flow:
    """The flow of an element."""
    return _FLOWS.get(element.module, _beat_by_beat)(element.parameters)


def _beat_by_beat(p: Parameters) -> Flow:
    return Flow({"in": 1}, {"in": np.ones(1, np.int64)})


def _mvtu(p: Parameters) -> Flow:
    return Flow({"in": p["IN_FOLDS"]}, {"in": np.full(p["OUT_FOLDS"], p["IN_FOLDS"])}, p["IN_FOLDS"])


def _taps(p: Parameters) -> Flow:
    folds = p["FOLDS"]
    return Flow({"in": p["TAPS"] * folds}, {"in": (p["TAPS"] - 1) * folds + 1 + np.arange(folds)})


def _widen(p: Parameters) -> Flow:
    return Flow({"in": p["FACTOR"]}, {"in": np.full(1, p["FACTOR"])})


def _narrow(p: Parameters) -> Flow:
    return Flow({"in": 1}, {"in": np.ones(p["FACTOR"], np.int64)})


def _add(p: Parameters) -> Flow:
    one = np.ones(1, np.int64)
    return Flow({"a": 1, "b": 1}, {"a": one, "b": one})


def _concat(p: Parameters) -> Flow:
    a, b = p["A_FOLDS"], p["B_FOLDS"]
    count = np.arange(1, a + b + 1)
    return Flow({"a": a, "b": b}, {"a": np.minimum(count, a), "b": np.maximum(count - a, 0)})


def _reorder(p: Parameters) -> Flow:
    return Flow({"in": p["TAKES"]}, {"in": np.full(p["GIVES"], p["TAKES"])})


def _lookup(p: Parameters) -> Flow:
    return Flow({"in": 1}, {"in": np.ones(p["FOLDS"], np.int64)})


def _argmax(p: Parameters) -> Flow:
    return Flow({"in": p["FOLDS"]}, {"in": np.full(1, p["FOLDS"])})


def _window(p: Parameters) -> Flow:
    row, reach = p["WIDTH"] * p["FOLDS"], p["DILATION_H"] * (p["KERNEL_H"] - 1)
    top = np.arange(p["OUT_HEIGHT"]) * p["STRIDE_H"] - p["PAD_TOP"]
    rows = np.clip(top + reach, 0, p["HEIGHT"] - 1) + 1  # whole rows only
    taps = p["KERNEL_W"] * (1 if p["COLUMN"] else p["KERNEL_H"])  # of a window, beats of one fold
    beats = p["OUT_WIDTH"] * taps * p["FOLDS"]
    return Flow({"in": p["HEIGHT"] * row}, {"in": np.repeat(rows * row, beats)})


def _slide(p: Parameters) -> Flow:
    reach = p["DILATION"] * (p["KERNEL"] - 1)
    return Flow({"in": p["COLUMNS"]}, {"in": np.arange(reach + 1, p["COLUMNS"] + 1, p["STRIDE"])})


def _upsample(p: Parameters) -> Flow:
    row = p["WIDTH"] * p["FOLDS"]
    line = (np.arange(p["OUT_HEIGHT"]) - p["PAD_TOP"]) // p["FACTOR_H"]
    rows = np.clip(line, -1, p["HEIGHT"] - 1) + 1
    return Flow({"in": p["HEIGHT"] * row}, {"in": np.repeat(rows * row, p["OUT_WIDTH"] * p["FOLDS"])})


_FLOWS: dict[str, Callable[[Parameters], Flow]] = {
    "mvtu": _mvtu,
    "depthwise": _taps,
    "pool": _taps,
    "widen": _widen,
    "narrow": _narrow,
    "add": _add,
    "concat2": _concat,
    "multiply": _add,
    "reorder": _reorder,
    "lookup": _lookup,
    "argmax": _argmax,
    "slide": _slide,
    "window": _window,
    "upsample": _upsample,
}
