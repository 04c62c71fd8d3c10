# SPDX-License-Identifier: Apache-2.0
"""Histograms of weights side by side: float, equalized, quantized, quantized without equalization."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_histograms", "entropy_bits"]


def entropy_bits(values: npt.NDArray[np.generic]) -> float:
    """Return the entropy of the histogram of distinct values, in bits: how many of its bits a grid really uses."""
    _, counts = np.unique(values, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def draw_histograms(panels: Mapping[str, npt.NDArray[np.floating]], name: str) -> Figure:
    """Draw one histogram a panel; few distinct values become bars with the entropy in the title.

    Args:
        panels: title to values, any shape; at least one, none empty.
        name: of the layer, for the title.

    Raises:
        PlotError: there is no panel, or one is empty.
    """
    if not panels or any(values.size == 0 for values in panels.values()):
        raise PlotError(f"{name}: panels must hold values, not none")
    figure = new_figure(3.2 * len(panels), 2.8)
    figure.suptitle(name, size=10)
    for place, (title, values) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        levels, counts = np.unique(values, return_counts=True)
        if len(levels) <= 256:
            gap = np.diff(levels).min() if len(levels) > 1 else 1.0
            axes.bar(levels, counts, width=0.8 * gap, color="#3060a0")
            axes.set_title(f"{title}\n{len(levels)} levels, {entropy_bits(values):.2f} bits used", size=8)
        else:
            axes.hist(values.reshape(-1), bins=100, color="#808080")
            axes.set_title(title, size=8)
        axes.tick_params(labelsize=7)
        axes.set_yticks([])
    return figure
