# SPDX-License-Identifier: Apache-2.0
"""Segmentations: image, truth and result side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bitlens.plots.canvas import PlotError, new_figure

__all__ = ["colour_masks", "draw_segments"]

Bytes = npt.NDArray[np.uint8]


def colour_masks(masks: Bytes, classes: int) -> Bytes:
    """Give every class its colour; ids that are no class (unlabelled pixels) are black.

    Args:
        masks: class ids, any shape.
        classes: how many there are, 1 to 20.

    Returns:
        RGB, the shape of masks with a last axis of 3.
    """
    if not 1 <= classes <= 20:
        raise PlotError(f"classes: must be 1 to 20, not {classes}")
    palette = np.zeros((256, 3), np.uint8)
    palette[:classes] = np.round(np.array([colormaps["tab20"](i)[:3] for i in range(classes)]) * 255)
    coloured: Bytes = palette[masks]  # (..., 3)
    return coloured


def draw_segments(images: Bytes, truths: Bytes, results: Mapping[str, Bytes], classes: Sequence[str]) -> Figure:
    """Draw one row an image: the image, what is true, what each net says.

    Args:
        images: uint8 (N, H, W, 3).
        truths: class ids, uint8 (N, H, W).
        results: class ids of each net, as truths, by its title; black where the truth is unlabelled.
        classes: names, 1 to 20.

    Raises:
        PlotError: shapes differ, there is no image, or there are too many classes.
    """
    shapes = [found.shape for found in results.values()]
    if not len(images) or {images.shape[:3], *shapes} != {truths.shape}:
        raise PlotError(
            f"images: must be as many and as large as truths and results, "
            f"not {images.shape[:3]}, {truths.shape} and {', '.join(map(str, shapes))}"
        )
    count, high, wide = truths.shape
    labelled = truths < len(classes)
    panels = {"image": images, "truth": colour_masks(truths, len(classes))}
    for title, found in results.items():
        panels[title] = colour_masks(np.where(labelled, found, 255).astype(np.uint8), len(classes))
    figure = new_figure(3.0 * len(panels), 3.0 * high / wide * count + 0.9)
    for row in range(count):
        for column, (title, pictures) in enumerate(panels.items()):
            axes = figure.add_subplot(count, len(panels), len(panels) * row + column + 1)
            axes.imshow(pictures[row], interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, size=9)
    colours = colour_masks(np.arange(len(classes), dtype=np.uint8), len(classes)) / 255
    patches = [Patch(color=tuple(colour), label=name) for colour, name in zip(colours, classes, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(classes)), fontsize=8)
    return figure
