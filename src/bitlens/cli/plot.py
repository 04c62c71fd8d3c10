# SPDX-License-Identifier: Apache-2.0
"""`bitlens plot`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens plot filters runs/w1a2 -o filters.png
  bitlens plot histograms runs/w2a2 --layer conv3 --bits 2 -o histograms.png
  bitlens plot curves runs/w1a2 runs/w1a2g6 --figures train_loss,test_accuracy -o curves.png
  bitlens plot segments runs/bitfcn --data camvid --images 0,40,90 -o segments.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("picture", choices=["filters", "histograms", "curves", "segments"])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folder of a trained run; several for curves")
    parser.add_argument("-o", "--output", metavar="PICTURE", required=True, help="ends in .png, .svg or .pdf")
    parser.add_argument("--layer", metavar="NAME", help="filters, histograms: which; default: first of fewest bits")
    parser.add_argument("--bits", metavar="K", type=int, help="histograms: bits of the codes; default: the layer's")
    parser.add_argument("--figures", metavar="A,B", default="train_loss,test_accuracy", help="curves: which figures")
    parser.add_argument("--data", metavar="DIR", help="segments: folder of the data set")
    parser.add_argument("--images", metavar="I,J", default="0,60,120,180", help="segments: which test images")
    parser.add_argument("--cache", metavar="DIR", help="segments: folder for decoded images")


def run(arguments: argparse.Namespace) -> int:
    """Draw and write the picture."""
    from bitlens.plots.canvas import PlotError, save_figure

    if arguments.picture != "curves" and len(arguments.runs) > 1:
        raise PlotError(f"plot: {arguments.picture} must have one run, not {len(arguments.runs)}")
    if not Path(arguments.output).absolute().parent.is_dir():
        raise PlotError(f"{arguments.output}: folder must exist, not be missing")
    print(save_figure(_DRAWN[arguments.picture](arguments), arguments.output))
    return 0


def _filters(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.filters import draw_filters
    from bitlens.results.pictures import filters_of

    name, integers = filters_of(arguments.runs[0], arguments.layer)
    return draw_filters(integers, name)


def _histograms(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.histograms import draw_histograms
    from bitlens.results.pictures import histograms_of

    name, panels = histograms_of(arguments.runs[0], arguments.layer, arguments.bits)
    return draw_histograms(panels, name)


def _curves(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.curves import draw_curves
    from bitlens.results.pictures import metrics_of

    return draw_curves(metrics_of(arguments.runs), arguments.figures.split(","))


def _segments(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.canvas import PlotError
    from bitlens.plots.segments import draw_segments

    try:
        chosen = [int(part) for part in arguments.images.split(",")]
    except ValueError:
        raise PlotError(f'plot: images must be numbers like 0,40,90, not "{arguments.images}"') from None
    from bitlens.results.segment import segments_of

    return draw_segments(*segments_of(arguments.runs[0], arguments.data, chosen, arguments.cache))


_DRAWN = {"filters": _filters, "histograms": _histograms, "curves": _curves, "segments": _segments}
