# SPDX-License-Identifier: Apache-2.0
"""What ceil_mode means: a last window that the map's end cuts counts too, one that begins behind the map does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cut_pixels", "whole_pads"]


def cut_pixels(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> int:
    """Return how many pixels the last window of one axis lacks; 0 where no window is cut.

    Args:
        size: of the map.
        kernel, stride, dilation: of the window.
        pads: before and behind the map.
    """
    last = size + sum(pads) - dilation * (kernel - 1) - 1  # where the last whole window could begin
    lacking = -last % stride
    return lacking if last + lacking < size + pads[0] else 0


def whole_pads(attrs: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
    """Return the pads (top, left, bottom, right) with which every window of a pool is whole.

    Args:
        attrs: of the node; strides, dilations and pads may be None.
        sizes: height and width of the map.
        kernel: height and width of the window.
    """
    top, left, bottom, right = attrs["pads"] or (0, 0, 0, 0)
    strides, dilations = attrs["strides"] or (1, 1), attrs["dilations"] or (1, 1)
    bottom += cut_pixels(sizes[0], kernel[0], strides[0], dilations[0], (top, bottom))
    right += cut_pixels(sizes[1], kernel[1], strides[1], dilations[1], (left, right))
    return (top, left, bottom, right)
