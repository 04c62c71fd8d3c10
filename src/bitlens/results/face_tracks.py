# SPDX-License-Identifier: Apache-2.0
"""Short videos composed of a person's photographs, of which the best frame is known: what best shots are judged by.

A person walks across a background, nearer and further, turning the head (the photographs follow each other by their labelled
yaw), while focus, motion and exposure waver; noise and JPEG are the track's own. The truth of a frame is the product that
`ShotWeights` makes of what is known: structural similarity to the sharp photograph, labelled pose, size and exposure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.data.degrade import Degradation, degrade, resized
from bitlens.data.detail import detail
from bitlens.data.faces import FacePicture
from bitlens.data.pasting import ramp
from bitlens.data.ssim import structural_similarity
from bitlens.vision import Box, ShotWeights
from bitlens.vision.crop import cut_square, level, square_around
from bitlens.vision.exposure import exposure
from bitlens.vision.pose import frontality_of

__all__ = ["RATE", "ComposedTrack", "compose_track", "sharp_pictures"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

RATE = 30  # frames a second
_SECONDS = 2
_HEIGHT, _WIDTH = 240, 320
_WIDTHS = (35.0, 65.0)  # of the face at the middle of its way, pixels
_SOFT = 0.2  # of a photograph's side, that fade into the background
_CROP, _MARGIN = 64, 1.2  # that similarity is measured on


_LEAST_DETAIL = 0.16  # of a photograph that can stand for sharpness


@dataclass(frozen=True)
class ComposedTrack:
    """A video of one person.

    Args:
        frames: brightness, uint8 (240, 320) each.
        boxes: of the face in each.
        truth: how good a shot each frame is, (T,), 0 to 100.
        unlit: the same without exposure, (T,), 0 to 100.
    """

    frames: list[Bytes]
    boxes: list[Box]
    truth: Reals
    unlit: Reals


def sharp_pictures(pictures: Sequence[FacePicture]) -> dict[str, list[FacePicture]]:
    """Return by person the photographs that are sharp themselves, of one face whose pose is labelled."""
    found: dict[str, list[FacePicture]] = {}
    for picture in pictures:
        if picture.person is None or len(picture.faces) != 1 or picture.faces[0].pose is None:
            continue
        if detail(_sharp(picture.luma(), picture)) >= _LEAST_DETAIL:
            found.setdefault(picture.person, []).append(picture)
    return found


def compose_track(pictures: Sequence[FacePicture], background: Bytes, rng: np.random.Generator) -> ComposedTrack:
    """Compose a video of two seconds.

    Args:
        pictures: of one person, one labelled face each.
        background: brightness of a picture without faces, uint8 (H, W).
        rng: all that is random follows from it.
    """
    count = RATE * _SECONDS
    t = np.arange(count) / RATE
    turning = sorted(pictures, key=lambda picture: _pose(picture)[0])
    if rng.random() < 0.5:
        turning.reverse()
    shown = np.clip((t / _SECONDS + 0.12 * _wavering(t, rng)) * len(turning), 0, len(turning) - 1).astype(int)
    wide = rng.uniform(*_WIDTHS) * np.exp(0.3 * _wavering(t, rng))
    x = _WIDTH * (0.5 + rng.choice([-1, 1]) * 0.25 * (2 * t / _SECONDS - 1)) + 8 * _wavering(t, rng)
    y = _HEIGHT * 0.5 + 12 * _wavering(t, rng)
    blur, motion = (np.maximum(0, amount * _wavering(t, rng)) for amount in (2.2, 7.0))
    light = 10 ** (0.25 * _wavering(t, rng))
    angle, noise, quality = rng.uniform(0, math.pi), rng.uniform(1, 9), int(rng.integers(40, 91))
    canvas = resized(background.astype(np.float32), (_HEIGHT, _WIDTH))
    lumas = [picture.luma() for picture in turning]
    sharp = [level(_sharp(luma, picture)[None])[0] for luma, picture in zip(lumas, turning, strict=True)]
    frames: list[Bytes] = []
    boxes: list[Box] = []
    truths: list[tuple[float, float]] = []
    for k in range(count):
        picture, luma = turning[shown[k]], lumas[shown[k]]
        clean, box = _pasted(canvas, luma, picture.faces[0].box, wide[k], (x[k], y[k]))
        amounts = Degradation(
            sigma=blur[k],
            length=motion[k],
            angle=angle,
            mean=float(np.clip(clean.mean() * light[k], 12, 235)),
            gain=float(min(1.0, light[k])),
            noise=noise,
            quality=quality,
        )
        frame = degrade(clean, amounts, rng)
        frames.append(frame)
        boxes.append(box)
        truths.append(_truths(frame, box, sharp[shown[k]], picture))
    truth, unlit = np.array(truths).T
    return ComposedTrack(frames, boxes, truth, unlit)


def _truths(frame: Bytes, box: Box, sharp: Bytes, picture: FacePicture) -> tuple[float, float]:
    seen = cut_square(frame, square_around(box, _MARGIN), _CROP)
    likeness = max(0.0, structural_similarity(sharp, level(seen[None])[0]))
    yaw, pitch, _ = _pose(picture)
    front = float(frontality_of(yaw, pitch))
    side = math.sqrt(box.area)
    lit = ShotWeights().score(100 * likeness, front, side, exposure(frame, box))
    return lit, likeness * front * min(1.0, side / ShotWeights().full_size_px)


def _sharp(luma: Bytes, picture: FacePicture) -> Bytes:
    return cut_square(luma, square_around(Box(*picture.faces[0].box), _MARGIN), _CROP)


def _pasted(
    canvas: npt.NDArray[np.float32],
    luma: Bytes,
    face: tuple[float, float, float, float],
    wide: float,
    middle: tuple[float, float],
) -> tuple[Bytes, Box]:
    """A photograph on the background, its face so wide and with its middle there; and the face's box."""
    scale = wide / face[2]
    shape = max(2, round(luma.shape[0] * scale)), max(2, round(luma.shape[1] * scale))
    down, across = shape[0] / luma.shape[0], shape[1] / luma.shape[1]
    patch = resized(luma.astype(np.float32), shape)
    top = round(middle[1] - (face[1] + face[3] / 2) * down)
    left = round(middle[0] - (face[0] + face[2] / 2) * across)
    fade = ramp(shape[0], _SOFT)[:, None] * ramp(shape[1], _SOFT)
    y0, y1, x0, x1 = max(0, top), min(_HEIGHT, top + shape[0]), max(0, left), min(_WIDTH, left + shape[1])
    own = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    image = canvas.copy()
    image[y0:y1, x0:x1] += fade[own] * (patch[own] - image[y0:y1, x0:x1])
    box = Box(left + face[0] * across, top + face[1] * down, face[2] * across, face[3] * down)
    return (image + 0.5).clip(0, 255).astype(np.uint8), box


def _wavering(t: Reals, rng: np.random.Generator) -> Reals:
    """Two sines of periods from 0.4 to 2.5 seconds, -1 to 1."""
    phases, periods = rng.uniform(0, 2 * math.pi, 2), np.exp(rng.uniform(math.log(0.4), math.log(2.5), 2))
    found: Reals = np.sin(2 * math.pi * t[:, None] / periods + phases).mean(1)
    return found


def _pose(picture: FacePicture) -> tuple[float, float, float]:
    pose = picture.faces[0].pose
    assert pose is not None  # of ytfaces every face is labelled
    return pose
