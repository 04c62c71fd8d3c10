# SPDX-License-Identifier: Apache-2.0
"""Loss against cost: the path of a sweep over the bits of layers, beside the same bits for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_pareto"]


def draw_pareto(sweeps: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw the paths of sweeps, what each chose, and its uniform points with their bits.

    Args:
        sweeps: name to what `bitlens.train.sweep` returns; all of one kind of cost.

    Raises:
        PlotError: the costs are of different kinds.
    """
    kinds = sorted({str(sweep["cost"]) for sweep in sweeps.values()})
    if len(kinds) != 1:
        raise PlotError(f"pareto: sweeps must have one kind of cost, not {', '.join(kinds)}")
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    for name, sweep in sweeps.items():
        (line,) = axes.plot(*_points(sweep["path"]), label=name, marker=".", linewidth=1.2)
        chosen = sweep["chosen"]
        axes.plot(
            [chosen["cost"]], [chosen["loss"]], marker="o", markersize=9, fillstyle="none", color=line.get_color()
        )
        axes.plot(*_points(sweep["uniform"]), linestyle="none", marker="x", color=line.get_color())
        for point in sweep["uniform"]:
            bits = point["layers"].split("/")[0]
            axes.annotate(bits, (point["cost"], point["loss"]), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.12)  # room for the bits of the widest
    axes.xaxis.set_major_locator(MaxNLocator(5))  # costs often span less than a power of ten
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_xlabel({"bit-operations": "bit operations of one input"}.get(kinds[0], kinds[0]), size=8)
    axes.set_ylabel("loss, not trained at these bits", size=8)
    axes.set_title("bits per layer (line; ring: chosen) and for all layers (crosses)", size=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if len(sweeps) > 1:
        axes.legend(fontsize=7)
    return figure


def _points(points: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["cost"] for point in points], [point["loss"] for point in points]
