# SPDX-License-Identifier: Apache-2.0
"""Figures of training runs over their epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_curves"]


def draw_curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], keys: Sequence[str]) -> Figure:
    """Draw one panel a figure of the metrics, one line a run.

    Args:
        runs: name to its metrics, one mapping an epoch, as in `metrics.jsonl`.
        keys: which figures; a run without one is left out of that panel.

    Raises:
        PlotError: no run has one of the figures.
    """
    figure = new_figure(4.6 * max(len(keys), 1), 3.4)
    for place, key in enumerate(keys, start=1):
        axes = figure.add_subplot(1, len(keys), place)
        drawn = 0
        for name, lines in runs.items():
            points = [(line["epoch"], line[key]) for line in lines if isinstance(line.get(key), int | float)]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker=".", linewidth=1.2)
                drawn += 1
        if not drawn:
            known = sorted({name for lines in runs.values() for line in lines for name in line} - {"epoch"})
            raise PlotError(f"figure: must be one of {', '.join(known) or 'none'}, not {key}")
        if "perplexity" in key:
            axes.set_yscale("log")
        axes.set_xlabel("epoch", size=8)
        axes.set_title(key.replace("_", " "), size=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure
