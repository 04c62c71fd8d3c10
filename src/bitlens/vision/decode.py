# SPDX-License-Identifier: Apache-2.0
"""From the maps of the face detector to faces: peaks of the heat, their boxes and landmarks, the best of each heap.

A map has one cell for every `stride` pixels; the cell (i, j) lies on the pixel (stride i, stride j), whose middle is at
(stride i + 1/2, stride j + 1/2). Its 15 channels: heat; the distances of the box's left, top, right and bottom from the
cell, in cells; x and y of five landmarks from the cell, in cells. Heat is compared as it comes, as integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CHANNELS", "PREFIX", "Found", "boxes_at", "decode", "nestings", "overlaps", "peaks", "suppress"]

Reals = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Map = npt.NDArray[Any]

CHANNELS = 15
PREFIX = "stride"  # of the names of maps, before the number of pixels a cell
_MOST = 0.5  # of the smaller box of two faces, that the other may cover
_BLOCK = 128  # boxes compared with all others at once
_SIDES = np.array([-1.0, -1.0, 1.0, 1.0])  # outward
_DOWN, _RIGHT = np.repeat((-1, 0, 1), 3), np.tile((-1, 0, 1), 3)  # a cell and its neighbours


class Found(NamedTuple):
    """Faces, best first.

    Args:
        boxes: left, top, right, bottom in pixels, (F, 4); they may leave the picture.
        landmarks: x and y of five in pixels, (F, 5, 2).
        heat: real, (F,).
    """

    boxes: Reals
    landmarks: Reals
    heat: Reals


def decode(maps: Mapping[str, Map], least: Mapping[str, float], real: Callable[[str, Map], Reals]) -> Found:
    """Return the faces of one picture's maps.

    Args:
        maps: by "strideN", (h, w, 15), as integers or real values.
        least: of each, the least heat of a face, compared with the map as it is.
        real: gives the real values of some cells (F, 15) of the map of a name.
    """
    boxes, landmarks, heats = [], [], []
    for name, cells in maps.items():
        rows, columns = peaks(cells[:, :, 0], least[name])
        found = real(name, cells[rows, columns])
        box, points = boxes_at(found, rows, columns, int(name.removeprefix(PREFIX)))
        boxes.append(box)
        landmarks.append(points)
        heats.append(found[:, 0])
    all_boxes, heat = np.concatenate(boxes), np.concatenate(heats)
    stays = suppress(all_boxes, heat)
    return Found(all_boxes[stays], np.concatenate(landmarks)[stays], heat[stays])


def peaks(heat: npt.NDArray[np.integer] | npt.NDArray[np.floating], least: float) -> tuple[Places, Places]:
    """Return rows and columns of the cells that reach `least` and that none of their eight neighbours exceeds.

    Args:
        heat: (h, w), integers or real numbers.
        least: compared with them as it is.
    """
    rows, columns = np.nonzero(heat >= least)  # few: neighbours are looked at around these alone
    if not len(rows):
        return rows, columns
    near_rows, near_columns = rows[:, None] + _DOWN, columns[:, None] + _RIGHT  # (F, 9)
    for near, end in ((near_rows, heat.shape[0] - 1), (near_columns, heat.shape[1] - 1)):
        np.minimum(np.maximum(near, 0, out=near), end, out=near)
    around = heat[near_rows, near_columns]
    highest = around.max(1) <= around[:, 4]  # the fifth is the cell itself
    return rows[highest], columns[highest]


def boxes_at(cells: Reals, rows: Places, columns: Places, stride: int) -> tuple[Reals, Reals]:
    """Return boxes (F, 4): left, top, right, bottom, and landmarks (F, 5, 2) in pixels of what some cells say.

    Args:
        cells: the 15 channels of each, real values (F, 15).
        rows, columns: where they lie, (F,).
        stride: pixels a cell.
    """
    places = np.stack([columns, rows], 1).astype(np.float64)  # (F, 2): x, y
    boxes = (np.tile(places, 2) + cells[:, 1:5] * _SIDES) * stride + 0.5
    landmarks = (places[:, None] + cells[:, 5:].reshape(-1, 5, 2)) * stride + 0.5
    return boxes, landmarks


def overlaps(boxes: Reals, others: Reals) -> Reals:
    """Return intersection over union (F, G) of boxes (F, 4) and (G, 4), left, top, right, bottom; 0 for empty boxes."""
    shared, areas, other_areas = _shared(boxes, others)
    return _share(shared, areas[:, None] + other_areas - shared)


def nestings(boxes: Reals, others: Reals) -> Reals:
    """Return intersection over the smaller of both areas, as `overlaps` does: 1 where one box lies within the other."""
    shared, areas, other_areas = _shared(boxes, others)
    return _share(shared, np.minimum(areas[:, None], other_areas))


def suppress(boxes: Reals, scores: npt.NDArray[np.generic], most: float = _MOST) -> Places:
    """Return the numbers of the boxes that stay, best first: a box goes where one that stays shares too much with it.

    What is shared is measured by the smaller box, so that no chin stays within a face. Memory grows with F, not its square.

    Args:
        boxes: (F, 4), left, top, right, bottom.
        scores: (F,); of equal ones the first is the better.
        most: intersection over the smaller area, from 0 to 1, above which a box goes.
    """
    waiting = np.argsort(-scores.astype(np.float64), kind="stable")  # none is suppressed by those that stay by now
    staying = [waiting[:0]]
    while len(waiting):
        block, waiting = waiting[:_BLOCK], waiting[_BLOCK:]
        near = nestings(boxes[block], boxes[block]) > most
        stays = np.ones(len(block), bool)
        for i in range(len(block)):
            if stays[i]:
                stays[i + 1 :] &= ~near[i, i + 1 :]
        staying.append(block[stays])
        if len(waiting):
            waiting = waiting[~(nestings(boxes[staying[-1]], boxes[waiting]) > most).any(0)]
    return np.concatenate(staying)


def _shared(boxes: Reals, others: Reals) -> tuple[Reals, Reals, Reals]:
    """Areas of intersections (F, G), of boxes (F,) and of the others (G,)."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    areas, other_areas = ((b[:, 2:] - b[:, :2]).clip(0).prod(1) for b in (boxes, others))
    return (end - corner).clip(0).prod(2), areas, other_areas


def _share(part: Reals, whole: Reals) -> Reals:
    found: Reals = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return found
