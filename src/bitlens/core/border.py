# SPDX-License-Identifier: Apache-2.0
"""Border classes: output positions that see the same taps. A 3x3 kernel with padding 1 has at most 9."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["border_classes", "sees_pixels"]


def border_classes(
    size: int, kernel: int, stride: int = 1, pads: tuple[int, int] = (0, 0), dilation: int = 1
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Sort the output positions of one axis into classes.

    Args:
        size: input length, in pixels.
        kernel, stride, pads, dilation: of this axis; pads is (before, after).

    Returns:
        The class of each output position, and per class which taps lie inside, (classes, kernel).
    """
    count = _windows(size, kernel, stride, pads, dilation)
    position = np.arange(max(0, count))[:, None] * stride - pads[0] + np.arange(kernel) * dilation  # (out, kernel)
    inside = (position >= 0) & (position < size)
    taps, index = np.unique(inside, axis=0, return_inverse=True)
    return np.asarray(index).reshape(-1), taps


def sees_pixels(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> bool:
    """Return whether every window of one axis has a tap inside; no array of the axis's length is made.

    Args:
        size, kernel, stride, pads, dilation: see `border_classes`.
    """
    count = _windows(size, kernel, stride, pads, dilation)
    if (count - 1) * stride - pads[0] >= size:
        return False
    before = np.arange(-pads[0], min(0, count * stride - pads[0]), stride)  # others begin at a pixel
    taps = -(before // dilation)  # the first at or behind pixel 0
    return bool(np.all((taps < kernel) & (before + taps * dilation < size)))


def _windows(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    return (size + sum(pads) - (dilation * (kernel - 1) + 1)) // stride + 1
