# SPDX-License-Identifier: Apache-2.0
"""The filters of a low-bit layer as a mosaic of little pictures; 1-bit filters are black and white."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_filters", "mosaic"]


def mosaic(filters: npt.NDArray[np.integer], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Lay filters out in a grid with lines of one pixel between them.

    Args:
        filters: (O, I, KH, KW) integers; output channels go down, input channels to the right.
        rows, columns: how many of them at most.

    Returns:
        float32 (rows * (KH + 1) + 1, columns * (KW + 1) + 1) in 0..1, lowest integer 0; NaN on the lines.
    """
    filters = filters[:rows, :columns]
    outputs, inputs, high, wide = filters.shape
    lo, hi = int(filters.min()), int(filters.max())
    shades = (filters - lo) / max(hi - lo, 1)
    picture = np.full((outputs * (high + 1) + 1, inputs * (wide + 1) + 1), np.nan, np.float32)
    for o in range(outputs):
        for i in range(inputs):
            top, left = o * (high + 1) + 1, i * (wide + 1) + 1
            picture[top : top + high, left : left + wide] = shades[o, i]
    return picture


def draw_filters(filters: npt.NDArray[np.integer], name: str, rows: int = 16, columns: int = 24) -> Figure:
    """Draw a convolution's filters, smallest integer black, largest white.

    Args:
        filters: (O, I, KH, KW) integers of the weights.
        name: of the layer, for the title.
        rows, columns: output and input channels that are shown.

    Raises:
        PlotError: the weights are no filters, or rows or columns are below 1.
    """
    if filters.ndim != 4 or filters.size == 0 or filters.shape[2] * filters.shape[3] == 1:
        raise PlotError(f"{name}: weights must be filters (O, I, KH, KW) larger than 1x1, not {filters.shape}")
    if min(rows, columns) < 1:
        raise PlotError(f"{name}: rows and columns must be at least 1, not {rows} and {columns}")
    picture = mosaic(filters, rows, columns)
    shown = min(rows, filters.shape[0]), min(columns, filters.shape[1])
    figure = new_figure(max(3.0, picture.shape[1] / 12), max(1.5, picture.shape[0] / 12 + 0.4))
    axes = figure.add_subplot()
    axes.imshow(np.ma.masked_invalid(picture), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_facecolor("#7f7f7f")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{name}: {shown[0]} of {filters.shape[0]} filters, {shown[1]} of {filters.shape[1]} inputs", size=9)
    return figure
