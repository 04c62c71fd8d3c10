# SPDX-License-Identifier: Apache-2.0
"""Averages whose divisor is smaller at the border: whole multiples of one unit all the same.

A window that sees n of its taps has the average sum / n. With L the least common multiple of all n of an axis that is
(sum * L / n) / L: the factor L / n is whole, and 1 / L is one unit for the whole map. Counts of two axes multiply, so the
factors do too. A 3x3 window with padding 1 has factors 2 and 3 an axis, and L = 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.border import border_classes
from bitlens.graph.ceil_mode import cut_pixels

__all__ = ["Factors", "average_factors"]

Factors = tuple[npt.NDArray[np.int64], int]


def average_factors(attrs: Mapping[str, Any], sizes: Sequence[int], kernel: Sequence[int]) -> tuple[Factors, Factors]:
    """Return the factor of each row and of each column of an AveragePool's result, each with its L.

    Args:
        attrs: of the node; pads are numbers or None, ceil_mode and count_include_pad may be missing.
        sizes: height and width of the map.
        kernel: height and width of the window.

    Raises:
        ValueError: a window sees padding alone.
    """
    pads = attrs["pads"] or (0, 0, 0, 0)
    rows, columns = (
        _axis_factors(
            sizes[axis],
            kernel[axis],
            (attrs["strides"] or (1, 1))[axis],
            (attrs["dilations"] or (1, 1))[axis],
            (pads[axis], pads[axis + 2]),
            cut=bool(attrs.get("ceil_mode")),
            count_pads=bool(attrs.get("count_include_pad")),
        )
        for axis in (0, 1)
    )
    return rows, columns


def _axis_factors(
    size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], *, cut: bool, count_pads: bool
) -> Factors:
    lacking = cut_pixels(size, kernel, stride, dilation, pads) if cut else 0  # never counted
    if count_pads:
        size, pads = size + sum(pads), (0, 0)
    classes, taps = border_classes(size, kernel, stride, (pads[0], pads[1] + lacking), dilation)
    counts = taps.sum(axis=1)[classes]
    if not np.all(counts):
        raise ValueError("every window must see a pixel, not padding alone")
    multiple = int(np.lcm.reduce(counts))
    return multiple // counts, multiple
