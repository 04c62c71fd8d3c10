# SPDX-License-Identifier: Apache-2.0
"""Beats as words and as the integers of their lanes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["IntArray", "join_lanes", "split_lanes"]

IntArray = npt.NDArray[np.int64]


def split_lanes(words: IntArray, lanes: int, bits: int, signed: int = 0) -> IntArray:
    """Words of at most 62 bits -> (beats, lanes), lane 0 lowest."""
    numbers = (words[:, None] >> (bits * np.arange(lanes))) & ((1 << bits) - 1)
    return numbers - ((numbers >> (bits - 1)) << bits) if signed else numbers


def join_lanes(numbers: IntArray, bits: int) -> IntArray:
    """(beats, lanes) -> words; two's complement where numbers are negative."""
    return np.asarray(((numbers & ((1 << bits) - 1)) << (bits * np.arange(numbers.shape[1]))).sum(axis=1))
