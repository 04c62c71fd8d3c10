# SPDX-License-Identifier: Apache-2.0
"""Tensors as words of the unit's memory, and words as bytes.

A pixel is ceil(C / simd) folds, a fold a word for each digit of 2 bits from the lowest, a word simd digits; pixels lie row by
row. Here a word is an array of its digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.fpga.unit.layers import Tensor, View

__all__ = ["from_bytes", "from_words", "to_bytes", "to_words"]

IntArray = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint8]


def to_words(integers: IntArray, tensor: Tensor, simd: int) -> Words:
    """Integers of a tensor's grid (..., H, W, C) -> uint8 (words, simd)."""
    codes = integers - tensor.grid.lo
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % simd)]
    lanes = np.pad(codes, padding).reshape(-1, 1, simd)  # (pixels * folds, 1, simd)
    digits = (lanes >> (2 * np.arange(tensor.planes))[:, None]) & 3  # (pixels * folds, digits, simd)
    return digits.astype(np.uint8).reshape(-1, simd)


def from_words(words: Words, tensor: Tensor, view: View) -> IntArray:
    """Words of a whole tensor, uint8 (..., words, simd) -> integers (..., h, w, c) of a view of it."""
    height, width, channels = tensor.shape
    digits = words.reshape(-1, tensor.planes, words.shape[-1]).astype(np.int64)
    lanes = (digits << (2 * np.arange(tensor.planes))[:, None]).sum(axis=1)
    whole = lanes.reshape(*words.shape[:-2], height, width, -1)
    codes = whole[..., : view.height, : view.width, :channels]
    if tensor.raw:
        return np.asarray(codes - ((codes >> (2 * tensor.planes - 1)) << (2 * tensor.planes)))
    return np.asarray(codes + tensor.grid.lo)


def to_bytes(words: Words) -> npt.NDArray[np.uint8]:
    """(words, simd) digits -> (words, simd / 4) bytes, the first digit lowest."""
    return np.asarray(
        (words.reshape(len(words), -1, 4) << np.array([0, 2, 4, 6], np.uint8)).sum(axis=2, dtype=np.uint8)
    )


def from_bytes(packed: npt.NDArray[np.uint8]) -> Words:
    """(..., simd / 4) bytes -> (..., simd) digits."""
    digits = (packed[..., None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
    return digits.astype(np.uint8).reshape(*packed.shape[:-1], -1)
