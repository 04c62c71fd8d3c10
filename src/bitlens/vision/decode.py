# SPDX-License-Identifier: Apache-2.0
"""From the maps of the face detector to faces: peaks of the heat, their boxes and landmarks, the best of each heap.

A map has one cell for every `stride` pixels; the cell (i, j) lies on the pixel (stride i, stride j), whose middle is at
(stride i + 1/2, stride j + 1/2). Its 15 channels: heat; the distances of the box's left, top, right and bottom from the
cell, in cells; x and y of five landmarks from the cell, in cells. Heat is compared as it comes, as integers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["CHANNELS", "boxes_at", "overlaps", "peaks", "suppress"]

Reals = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CHANNELS = 15
_SIDES = np.array([-1.0, -1.0, 1.0, 1.0])  # outward
_DOWN, _RIGHT = np.repeat((-1, 0, 1), 3), np.tile((-1, 0, 1), 3)  # a cell and its neighbours


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
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (end - corner).clip(0).prod(2)  # (F, G)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).clip(0).prod(1) for b in (boxes, others))
    union = areas[:, None] + other_areas - shared
    found: Reals = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def suppress(boxes: Reals, scores: npt.NDArray[np.generic], most: float) -> Places:
    """Return the numbers of the boxes that stay, best first: a box goes where one that stays overlaps it by more than `most`.

    Args:
        boxes: (F, 4), left, top, right, bottom.
        scores: (F,); of equal ones the first is the better.
        most: intersection over union.
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    shared = overlaps(boxes[order], boxes[order])
    stays = np.ones(len(order), bool)
    for i in range(len(order)):
        if stays[i]:
            stays[i + 1 :] &= shared[i, i + 1 :] <= most
    return order[stays]
