# SPDX-License-Identifier: Apache-2.0
"""`bitlens plot`: one sub-command a picture; most are of a run, some of the quantizers themselves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens plot filters runs/w1a2 -o filters.png
  bitlens plot histograms runs/w2a2 --layer conv3 --bits 2 -o histograms.png
  bitlens plot curves runs/w1a2 runs/w1a2g6 --figures train_loss,test_accuracy -o curves.png
  bitlens plot segments runs/float runs/w2a2 --data camvid --images 0,40,90 -o segments.png
  bitlens plot pareto sweep.json -o pareto.png
  bitlens plot quantizers --of weights --bits 2 -o weights.png
  bitlens plot entropy -o entropy.png"""

PICTURES = {
    "filters": "the filters of a low-bit convolution",
    "histograms": "a layer's weights: float, equalized, quantized with and without equalization",
    "curves": "figures of training over the epochs, of one or several runs",
    "segments": "image, truth and result of a segmentation, of one or several runs",
    "pareto": "loss against cost of sweeps over the bits of layers; files of `bitlens sweep`",
    "quantizers": "every quantizer's curve and gradient; no run",
    "entropy": "how many of its bits each weight quantizer uses, with the table; no run",
}
OF_NO_RUN = ("quantizers", "entropy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pictures and their flags."""
    pictures = parser.add_subparsers(dest="picture", metavar="PICTURE", required=True)
    added = {}
    for name, text in PICTURES.items():
        example = next(line for line in EXAMPLE.splitlines() if f"plot {name} " in line)
        child = added[name] = pictures.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example.strip()}"
        )
        if name not in OF_NO_RUN:
            sweeps = name == "pareto"
            child.add_argument(
                "runs",
                metavar="SWEEP.json" if sweeps else "RUN",
                nargs="+",
                help="file of `bitlens sweep -o`" if sweeps else "folder of a trained run",
            )
        child.add_argument("-o", "--output", metavar="FILE", required=True, help="ends in .png, .svg or .pdf")
    for name in ("filters", "histograms"):
        added[name].add_argument("--layer", metavar="NAME", help="which; default: first of fewest bits")
    added["histograms"].add_argument("--bits", metavar="K", type=int, help="of the codes; default: the layer's")
    added["curves"].add_argument(
        "--figures", metavar="A,B", default="train_loss,test_accuracy", help="which (default: %(default)s)"
    )
    segments, quantizers = added["segments"], added["quantizers"]
    segments.add_argument("--data", metavar="DIR", help="folder of the data set")
    segments.add_argument("--images", metavar="I,J", default="0,60,120,180", help="which test images")
    segments.add_argument("--cache", metavar="DIR", help="folder for decoded images")
    quantizers.add_argument("--of", choices=["weights", "activations", "gradients"], default="weights")
    quantizers.add_argument("--bits", metavar="K", type=int, default=2, help="2 to 8 (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Draw and write the picture."""
    from bitlens.plots.canvas import PlotError, save_figure

    single = arguments.picture not in ("curves", "segments", "pareto", *OF_NO_RUN)
    if single and len(arguments.runs) > 1:
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

    return draw_segments(*segments_of(arguments.runs, arguments.data, chosen, arguments.cache))


def _pareto(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.pareto import draw_pareto
    from bitlens.results.pictures import sweeps_of

    return draw_pareto(sweeps_of(arguments.runs))


def _quantizers(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.quantizers import draw_quantizers
    from bitlens.results.quantizers import activation_curves, gradient_curves, weight_curves

    name, across, curves = {
        "weights": ("weights: one layer, Gaussian, standard deviation 1/2", "weight", weight_curves),
        "activations": ("activations", "activation", activation_curves),
        "gradients": ("gradients: one sample, largest magnitude 1", "gradient", gradient_curves),
    }[arguments.of]
    return draw_quantizers(curves(arguments.bits), name, across)


def _entropy(arguments: argparse.Namespace) -> Any:
    from bitlens.plots.entropy import draw_entropy
    from bitlens.results.quantizers import render, used_bits

    used = used_bits()
    print(render(used))
    return draw_entropy(used, "bits used by the codes of 100,000 weights")


_DRAWN = {
    "filters": _filters,
    "histograms": _histograms,
    "curves": _curves,
    "segments": _segments,
    "pareto": _pareto,
    "quantizers": _quantizers,
    "entropy": _entropy,
}
