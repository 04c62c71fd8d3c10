# SPDX-License-Identifier: Apache-2.0
"""Patches with soft borders on a canvas that remembers where the faces lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["Canvas", "Patch", "ramp"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

_SEEN = 0.7  # of a pasted face that must lie within the canvas
_MIRROR = [1, 0, 2, 4, 3]  # order of landmarks after mirroring


@dataclass(frozen=True)
class Patch:
    """Something to paste.

    Args:
        luma: float32 (h, w).
        alpha: how much of it is seen, float32 (h, w) in [0, 1].
        boxes, landmarks: of its faces, (F, 4) and (F, 5, 2), in its pixels.
        complete: whether those are all of its faces.
    """

    luma: Reals
    alpha: Reals
    boxes: Reals
    landmarks: Reals
    complete: bool

    @classmethod
    def of(
        cls,
        luma: Reals,
        rng: np.random.Generator,
        boxes: Reals | None = None,
        landmarks: Reals | None = None,
        complete: bool = True,
    ) -> Patch:
        """Return a patch whose border, of random width up to a quarter of it, is soft."""
        share = rng.uniform(0, 0.25)
        rows, columns = (ramp(length, share) for length in luma.shape)
        boxes = np.zeros((0, 4), np.float32) if boxes is None else boxes
        landmarks = np.zeros((0, 5, 2), np.float32) if landmarks is None else landmarks
        return cls(luma, rows[:, None] * columns, boxes, landmarks, complete)

    def mirrored(self) -> Patch:
        """Left and right swapped."""
        width = self.luma.shape[1]
        boxes, landmarks = self.boxes.copy(), self.landmarks[:, _MIRROR].copy()
        boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
        landmarks[:, :, 0] = width - landmarks[:, :, 0]
        return replace(self, luma=self.luma[:, ::-1], alpha=self.alpha[:, ::-1], boxes=boxes, landmarks=landmarks)

    def occluded(self, rng: np.random.Generator) -> Patch:
        """A flat or noisy bar over up to a third of its first face, from one side."""
        left, top, width, height = self.boxes[0]
        share = rng.uniform(0.1, 0.35)
        side = rng.integers(4)  # below, left, right, above
        x0, x1 = (left, left + width) if side in (0, 3) else (left, left + share * width)
        y0, y1 = (top, top + height) if side in (1, 2) else (top, top + share * height)
        if side == 0:
            y0, y1 = top + (1 - share) * height, top + height
        elif side == 2:
            x0, x1 = left + (1 - share) * width, left + width
        window = tuple(slice(max(0, round(float(a))), max(0, round(float(b)))) for a, b in ((y0, y1), (x0, x1)))
        luma = self.luma.copy()
        luma[window] = rng.uniform(0, 255) + rng.uniform(0, 30) * rng.standard_normal(luma[window].shape)
        return replace(self, luma=luma.clip(0, 255))


class Canvas:
    """A picture under work.

    Args:
        luma: float32 (H, W), changed in place.
    """

    def __init__(self, luma: Reals) -> None:
        self.luma = luma
        self._boxes: list[Reals] = []
        self._landmarks: list[Reals] = []
        self._unknown: list[Reals] = []

    def is_free(self, patch: Patch, top: int, left: int) -> bool:
        """Whether a patch may be pasted: it hides no face, and its first face is seen for the most part."""
        height, width = self.luma.shape
        corner = np.array([left, top, 0, 0], np.float32)
        if len(patch.boxes) and _shared(patch.boxes[0] + corner, (0, 0, width, height)) < _SEEN:
            return False
        area = (left, top, patch.luma.shape[1], patch.luma.shape[0])
        return all(_shared(box, area) == 0 for box in self._boxes)

    def paste(self, patch: Patch, top: int, left: int) -> None:
        """Blend a patch in, its upper left pixel at (top, left), which may lie outside."""
        height, width = self.luma.shape
        y0, y1 = max(0, top), min(height, top + patch.luma.shape[0])
        x0, x1 = max(0, left), min(width, left + patch.luma.shape[1])
        if y0 >= y1 or x0 >= x1:
            return
        own = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        there = self.luma[y0:y1, x0:x1]
        there += patch.alpha[own] * (patch.luma[own] - there)
        corner = np.array([left, top], np.float32)
        for box, points in zip(patch.boxes, patch.landmarks, strict=True):
            moved = box + np.array([left, top, 0, 0], np.float32)
            share = _shared(moved, (0, 0, width, height))
            if share >= _SEEN:
                self._boxes.append(moved)
                self._landmarks.append(points + corner)
            elif share > 0:  # half a face is neither a face nor none
                self._unknown.append(moved)
        if not patch.complete:
            self._unknown.append(np.array([x0, y0, x1 - x0, y1 - y0], np.float32))

    def found(self) -> tuple[Reals, Reals, Reals]:
        """Boxes (F, 4), landmarks (F, 5, 2) and unknown regions (K, 4)."""
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        return (
            boxes,
            np.array(self._landmarks, np.float32).reshape(-1, 5, 2),
            np.array(self._unknown, np.float32).reshape(-1, 4),
        )


def ramp(length: int, share: float) -> Reals:
    """Return 0 to 1 to 0 along a side (length,), the slopes taking a share each."""
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return (from_edge / max(1.0, share * length)).clip(0, 1).astype(np.float32)


def _shared(box: Reals, area: tuple[float, float, float, float]) -> float:
    """The share of a box that lies within an area."""
    across = min(box[0] + box[2], area[0] + area[2]) - max(box[0], area[0])
    down = min(box[1] + box[3], area[1] + area[3]) - max(box[1], area[1])
    return float(max(0.0, across) * max(0.0, down) / (box[2] * box[3]))
