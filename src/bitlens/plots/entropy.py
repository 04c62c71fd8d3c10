# SPDX-License-Identifier: Apache-2.0
"""How many of its bits each quantizer uses, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["draw_entropy"]

_COLOURS = ("#a0b8d8", "#6088b8", "#3060a0", "#204070", "#102038")


def draw_entropy(used: Mapping[str, Mapping[str, Mapping[int, float]]], name: str) -> Figure:
    """Draw one panel a distribution of weights: a group of bars a quantizer, a bar a number of bits.

    Args:
        used: distribution to quantizer to {bits of a code: entropy of the codes in bits}, up to 5 numbers of bits; all
            distributions have the same quantizers.
        name: of the picture, for the title.

    Raises:
        PlotError: there is nothing to draw.
    """
    widths = sorted({bits for rows in used.values() for row in rows.values() for bits in row})
    if not widths:
        raise PlotError(f"{name}: bars must hold values, not none")
    groups = [*next(iter(used.values()))]
    figure = new_figure(3.4 * len(used) + 1, 0.42 * len(groups) + 1.5)
    figure.suptitle(name, size=10)
    high = 0.8 / max(len(row) for rows in used.values() for row in rows.values())
    first = None
    for place, (distribution, rows) in enumerate(used.items(), start=1):
        axes = first = figure.add_subplot(1, len(used), place, sharey=first)
        for bits, colour in zip(widths, _COLOURS, strict=False):
            bars = [(g, [*rows[group]], rows[group][bits]) for g, group in enumerate(groups) if bits in rows[group]]
            at = [g + high * (row.index(bits) - (len(row) - 1) / 2) for g, row, _ in bars]
            label = f"{bits} bit{'s' * (bits > 1)}"
            axes.barh(at, [value for *_, value in bars], height=high, color=colour, label=label)
            axes.axvline(bits, color="#808080", linewidth=0.8, linestyle=":")
        axes.set_title(distribution, size=9)
        axes.set_xlabel("entropy of the codes, bits", size=8)
        axes.set_yticks(range(len(groups)), groups, size=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", labelleft=place == 1)
        axes.set_xlim(0, max(widths) + 0.1)
    assert first is not None
    first.invert_yaxis()
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(widths), fontsize=8)
    return figure
