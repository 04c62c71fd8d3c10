# SPDX-License-Identifier: Apache-2.0
"""Composed scenes: faces cut out of pictures, scaled and pasted with soft borders onto backgrounds without faces.

Persons and backgrounds stay in their splits: a scene of the test split shows test persons on test backgrounds. The nonface
set has no validation part: every eighth of its training pictures is kept for it.

    >>> scenes = Scenes(faces("faces"), "train")                                         # doctest: +SKIP
    >>> scenes.compose(480, 640, np.random.default_rng(0)).boxes.shape                   # doctest: +SKIP
    (3, 4)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.data.dataset import DataError
from bitlens.data.degrade import Degradation, degrade, resized
from bitlens.data.faces import FacePicture, LabelledFace
from bitlens.data.pasting import Canvas, Patch

__all__ = ["Scene", "Scenes", "in_split"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

_KEPT = 8  # of so many training backgrounds, one is for validation
_LEAST_PX, _MOST_PX = 16, 300  # widths of faces
_ENLARGED = 1.6  # no source is enlarged more
_COUNTS = ((0, 0.2), (1, 0.45), (2, 0.15), (4, 0.12), (9, 0.08))  # faces that are tried, and how often
_TRIES = 4  # places for each


@dataclass(frozen=True)
class Scene:
    """A picture with all that is known of its faces.

    Args:
        luma: uint8 (H, W).
        boxes: left, top, width, height in pixels, float32 (F, 4).
        landmarks: float32 (F, 5, 2), NaN where not known.
        unknown: boxes of regions that may hold further faces, float32 (K, 4); what is found there counts neither way.
    """

    luma: Bytes
    boxes: Reals
    landmarks: Reals
    unknown: Reals


def in_split(pictures: Sequence[FacePicture], split: str) -> list[FacePicture]:
    """Return the pictures of a split, "train", "val" or "test"; of backgrounds the training part is divided."""
    found = [p for p in pictures if p.source != "nonface" and p.split == split]
    backgrounds = [p for p in pictures if p.source == "nonface"]
    if split == "test":
        return found + [p for p in backgrounds if p.split == "test"]
    kept = [p for p in backgrounds if p.split == "train"]
    return found + [p for i, p in enumerate(kept) if (i % _KEPT == 0) == (split == "val")]


class Scenes:
    """Makes scenes of one split.

    Args:
        pictures: of all sets and splits.
        split: "train", "val" or "test".
        spoiled: the share of scenes that are degraded: blur, motion, exposure, noise, JPEG.

    Raises:
        DataError: the split has no faces or no backgrounds.
    """

    def __init__(self, pictures: Sequence[FacePicture], split: str, spoiled: float = 0.6) -> None:
        chosen = in_split(pictures, split)
        self.backgrounds = [p for p in chosen if p.source == "nonface"]
        self.faces = [(p, face) for p in chosen for face in p.faces]
        for what, found in (("backgrounds", self.backgrounds), ("faces", self.faces)):
            if not found:
                raise DataError(f"scenes: {split} pictures must hold {what}, not none")
        self.widths = np.array([face.box[2] for _, face in self.faces])
        self.spoiled = spoiled
        self._lumas: dict[int, Bytes] = {}  # decoded once

    def compose(self, height: int, width: int, rng: np.random.Generator) -> Scene:
        """Return a scene that follows from the generator alone."""
        canvas = Canvas(self._background(height, width, rng))
        numbers, shares = zip(*_COUNTS, strict=True)
        for _ in range(rng.choice(numbers, p=shares)):
            if rng.random() < 0.25:
                self._paste_distractor(canvas, rng)
            self._paste_face(canvas, rng)
        luma = canvas.luma.astype(np.uint8)
        if rng.random() < self.spoiled:
            luma = degrade(luma, _drawn(rng), rng)
        return Scene(luma, *canvas.found())

    def _luma(self, picture: FacePicture) -> Bytes:
        if id(picture) not in self._lumas:
            self._lumas[id(picture)] = picture.luma()
        return self._lumas[id(picture)]

    def _background(self, height: int, width: int, rng: np.random.Generator) -> Reals:
        """A random part of one picture, turned and mirrored by chance; sometimes flat."""
        if rng.random() < 0.05:
            return np.full((height, width), rng.uniform(0, 255), np.float32)
        luma = self._luma(self.backgrounds[rng.integers(len(self.backgrounds))])
        if rng.random() < 0.25:
            luma = np.rot90(luma, int(rng.integers(1, 4)))
        if rng.random() < 0.5:
            luma = luma[:, ::-1]
        zoom = math.exp(rng.uniform(math.log(0.35), math.log(2.0)))  # pixels of the source for one of the scene
        tall, wide = (min(round(side * zoom), whole) for side, whole in zip((height, width), luma.shape, strict=True))
        tall, wide = (
            min(tall, max(1, round(wide * 1.5 * height / width))),
            min(wide, round(tall * 1.5 * width / height)),
        )
        top, left = rng.integers(0, luma.shape[0] - tall + 1), rng.integers(0, luma.shape[1] - wide + 1)
        return resized(luma[top : top + tall, left : left + wide], (height, width))

    def _paste_face(self, canvas: Canvas, rng: np.random.Generator) -> None:
        height, width = canvas.luma.shape
        most = min(_MOST_PX, 0.95 * width, 0.75 * height)
        if most < _LEAST_PX:
            return
        target = math.exp(rng.uniform(math.log(_LEAST_PX), math.log(most)))
        large_enough = np.flatnonzero(self.widths * _ENLARGED >= target)
        if not len(large_enough):
            return
        picture, face = self.faces[rng.choice(large_enough)]
        patch = _cut(picture, self._luma(picture), face, target / face.box[2], rng)
        for _ in range(_TRIES):
            spare_y, spare_x = 0.6 * patch.luma.shape[0], 0.6 * patch.luma.shape[1]
            top = round(rng.uniform(-spare_y, height - patch.luma.shape[0] + spare_y))
            left = round(rng.uniform(-spare_x, width - patch.luma.shape[1] + spare_x))
            if canvas.is_free(patch, top, left):
                if rng.random() < 0.15:
                    patch = patch.occluded(rng)
                canvas.paste(patch, top, left)
                return

    def _paste_distractor(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Paste a piece of another background as a face would be: a soft border is no sign of a face."""
        height, width = canvas.luma.shape
        side = math.exp(rng.uniform(math.log(_LEAST_PX), math.log(max(_LEAST_PX, 0.6 * min(height, width)))))
        piece = self._background(round(side * rng.uniform(1, 1.5)), max(2, round(side)), rng)
        patch = Patch.of(piece, rng)
        top = round(rng.uniform(0, max(1, height - piece.shape[0])))
        left = round(rng.uniform(0, max(1, width - piece.shape[1])))
        if canvas.is_free(patch, top, left):
            canvas.paste(patch, top, left)


def _cut(picture: FacePicture, luma: Bytes, face: LabelledFace, scale: float, rng: np.random.Generator) -> Patch:
    """A face with some of what is around it, at most the whole picture, scaled and mirrored by chance."""
    left, top, width, height = face.box
    margins = rng.uniform(0.1, 1.0, 4) if rng.random() < 0.6 else np.full(4, 5.0)
    if not picture.complete:
        margins = np.minimum(margins, 0.4)
    x0, y0 = max(0, math.floor(left - margins[0] * width)), max(0, math.floor(top - margins[1] * height))
    x1 = min(luma.shape[1], math.ceil(left + width + margins[2] * width))
    y1 = min(luma.shape[0], math.ceil(top + height + margins[3] * height))
    shape = max(2, round((y1 - y0) * scale)), max(2, round((x1 - x0) * scale))
    piece = resized(luma[y0:y1, x0:x1], shape)
    kept = [face] if not picture.complete else [f for f in picture.faces if _inside(f, x0, y0, x1, y1)]
    zoom = np.array([shape[1] / (x1 - x0), shape[0] / (y1 - y0)], np.float32)
    origin = np.array([x0, y0], np.float32)
    boxes = np.array([f.box for f in kept], np.float32).reshape(-1, 2, 2)  # (F, position and size, x and y)
    boxes[:, 0] -= origin
    unknown = np.full((5, 2), np.nan, np.float32)
    points = np.stack([(unknown if f.landmarks is None else f.landmarks) - origin for f in kept])
    patch = Patch.of(piece, rng, (boxes * zoom).reshape(-1, 4), points * zoom, picture.complete)
    return patch.mirrored() if rng.random() < 0.5 else patch


def _inside(face: LabelledFace, x0: int, y0: int, x1: int, y1: int) -> bool:
    """Whether the middle of a face is in a rectangle."""
    left, top, width, height = face.box
    return x0 <= left + width / 2 < x1 and y0 <= top + height / 2 < y1


def _drawn(rng: np.random.Generator) -> Degradation:
    """Some of blur, motion, exposure, noise and JPEG."""
    leave = rng.random(5)
    return Degradation(
        sigma=float(rng.uniform(0, 1.6)) * (leave[0] < 0.35),
        length=float(rng.uniform(2, 7)) * (leave[1] < 0.12),
        angle=float(rng.uniform(0, math.pi)),
        gain=float(rng.uniform(0.4, 1.4)) if leave[2] < 0.6 else 1.0,
        mean=float(rng.uniform(50, 190)) if leave[2] < 0.6 else None,
        noise=float(rng.uniform(0, 14)) * (leave[3] < 0.5),
        quality=int(rng.integers(25, 95)) if leave[4] < 0.35 else None,
    )
