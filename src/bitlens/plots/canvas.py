# SPDX-License-Identifier: Apache-2.0
"""Figures without a screen, and their atomic files; the same picture is the same bytes, so that a diff shows real changes."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from bitlens.core.files import replacing

__all__ = ["PlotError", "new_figure", "save_figure"]

_DATES = {".png": None, ".svg": "Date", ".pdf": "CreationDate"}  # what each kind calls the time of its writing


class PlotError(ValueError):
    """A picture that cannot be drawn or written; the sentence names the argument or the file."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure.

    Args:
        width, height: in inches; 100 pixels each.
    """
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure; nothing half-written stays behind.

    Args:
        figure: from a draw function.
        path: ends in .png, .svg or .pdf.

    Raises:
        PlotError: another ending.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in _DATES:
        raise PlotError(f"{path}: name must end in one of {', '.join(_DATES)}, not {path.suffix or 'nothing'}")
    date = _DATES[path.suffix]
    with replacing(path, "the picture") as stream, matplotlib.rc_context({"svg.hashsalt": "bitlens"}):
        figure.savefig(stream, format=path.suffix[1:], metadata={date: None} if date else None)
    return path
