# SPDX-License-Identifier: Apache-2.0
"""Rows of a table as dots on a line, one a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_dots"]


def draw_dots(
    values: Mapping[str, Sequence[float]], published: Mapping[str, float], name: str, figure_name: str
) -> Figure:
    """Draw a line a row: a dot for each seed, and a diamond for what is published.

    Args:
        values: by row, a value a seed.
        published: by row; rows without are left out.
        name: of the picture, for the title.
        figure_name: of the values, for the axis.

    Raises:
        PlotError: there is no row.
    """
    if not values:
        raise PlotError(f"{name}: table must hold rows, not none")
    places = {row: place for place, row in enumerate(values)}
    figure = new_figure(7.2, 0.24 * len(places) + 1.3)
    axes = figure.add_subplot()
    axes.set_title(name, size=10)
    told = {row: value for row, value in published.items() if row in places}
    if told:
        axes.plot(
            [*told.values()], [places[row] for row in told], "D", mfc="none", mec="#b06020", ms=5, label="published"
        )
    ours = [(value, places[row]) for row, found in values.items() for value in found]
    axes.plot(*zip(*ours, strict=True), "o", color="#3060a0", ms=5, alpha=0.7, label="measured, a dot a seed")
    axes.set_yticks(range(len(places)), [*places], size=8)
    axes.set_xlabel(figure_name, size=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="y", linewidth=0.4, color="#d0d0d0")
    axes.invert_yaxis()
    figure.legend(loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    return figure
