# SPDX-License-Identifier: Apache-2.0
"""Curves of quantizers with their gradients, one panel a quantizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["LINES", "Curve", "draw_quantizers"]

Curve = tuple[npt.NDArray[np.floating], Mapping[str, npt.NDArray[np.floating]]]

LINES: dict[str, dict[str, Any]] = {
    "value": {"color": "#3060a0", "linewidth": 1.6},
    "gradient": {"color": "#c05020", "linewidth": 1.2, "linestyle": "--"},
    "gradient of the learned reach": {"color": "#208040", "linewidth": 1.2, "linestyle": ":"},
    "one draw": {"color": "#3060a0", "linestyle": "", "marker": ".", "markersize": 2},
    "mean of draws": {"color": "#c05020", "linewidth": 1.2},
}


def draw_quantizers(panels: Mapping[str, Sequence[Curve]], name: str, across: str, columns: int = 5) -> Figure:
    """Draw one panel a quantizer over a thin grey line, the identity.

    Args:
        panels: title to its curves; a curve is x (n,), ascending, and lines (n,) by a name of `LINES`. The second
            curve of a panel is paler: another channel.
        name: of the picture, for the title.
        across: what x is, with its unit.
        columns: panels in a row.

    Raises:
        PlotError: there is no panel.
    """
    if not panels:
        raise PlotError(f"{name}: panels must hold curves, not none")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(2.6 * columns, 2.3 * rows + 0.7)
    figure.suptitle(name, size=10)
    shown: dict[str, Any] = {}
    for place, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, place)
        ends = float(curves[0][0][0]), float(curves[0][0][-1])
        axes.plot(ends, ends, color="#c0c0c0", linewidth=0.8)
        for strength, (x, lines) in zip((1.0, 0.4), curves, strict=False):
            for line, y in lines.items():
                (drawn,) = axes.plot(x, y, alpha=strength, **LINES[line])
                shown.setdefault(line, drawn)
        axes.set_xlim(ends)
        axes.set_title(title, size=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if place > (rows - 1) * columns:
            axes.set_xlabel(across, size=8)
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown), fontsize=8)
    return figure
