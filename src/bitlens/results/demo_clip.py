# SPDX-License-Identifier: Apache-2.0
"""A clip made of one photograph, for machines that have no video: someone walks past a shaking camera and looks about.

The photograph is NASA's portrait of Eileen Collins (public domain), which comes with scikit-image. The camera pans, zooms and
rolls, light changes, sensor noise comes and goes, focus and hand are unsteady; the head turns as if painted on a cylinder.
Everything follows from the frame's number, so that the clip is the same each time.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from bitlens.core.files import replacing

__all__ = ["draw_frame", "turned_head", "write_clip"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

FRAMES, RATE = 200, 25
_HEIGHT, _WIDTH = 300, 400
_FACE = (222.0, 118.0)  # x and y of the face's middle in the photograph, 512x512
_HEAD = (85.0, 105.0)  # half axes of what turns


def write_clip(path: Path) -> None:
    """Make the clip, 200 frames of 400x300, and write it as MP4 (MPEG-4 part 2, about 2 Mbit/s)."""
    import av
    from skimage import data

    photograph = np.asarray(data.astronaut(), np.float32)
    with replacing(path, "a clip") as stream, av.open(stream, "w", format="mp4") as container:
        video: Any = container.add_stream("mpeg4", rate=RATE)
        video.height, video.width, video.pix_fmt, video.bit_rate = _HEIGHT, _WIDTH, "yuv420p", 2_000_000
        video.codec_context.thread_count = 1  # each thread makes a slice of its own: another clip on every machine
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(draw_frame(photograph, number), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())


def draw_frame(photograph: Reals, number: int) -> Bytes:
    """Return a frame of the clip, uint8 (300, 400, 3), of the photograph, float32 (512, 512, 3)."""
    t = number / RATE
    way = _way(t)
    image = _sampled(photograph, *_turned(*_looked_at(way), way.yaw))
    gain = 1 - 0.5 * max(0.0, math.sin(2 * math.pi * t / 5.2)) ** 3
    picture = Image.fromarray((gain * image + 0.5).astype(np.uint8))
    blur = 3.0 * max(0.0, math.sin(2 * math.pi * t / 1.9 + 0.7)) ** 2
    picture = picture.filter(ImageFilter.GaussianBlur((blur + 2 * abs(way.pan) / 100, blur)))  # out of focus, and moved
    rng = np.random.default_rng(number)
    noise = (2 + 8 * max(0.0, math.sin(2 * math.pi * t / 4.7 + 2)) ** 2) * rng.standard_normal(image.shape, np.float32)
    frame: Bytes = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
    return frame


def turned_head(photograph: Reals, yaw: float) -> Bytes:
    """Return the photograph, uint8 (512, 512, 3), with the head turned by so many radians to the image's right."""
    y, x = np.mgrid[: photograph.shape[0], : photograph.shape[1]].astype(np.float32)
    found: Bytes = (_sampled(photograph, *_turned(x, y, yaw)) + 0.5).clip(0, 255).astype(np.uint8)
    return found


def face_middle(number: int) -> tuple[float, float]:
    """Return where the face's middle, which moves as the head turns, lies in a frame: x and y in pixels; it may be outside."""
    way = _way(number / RATE)
    turned = 0.0  # of the head's half axis
    for _ in range(20):
        turned = math.sin(way.yaw * (1 - turned**2))  # see `_turned`
    x, y = way.zoom * (_HEAD[0] * turned - way.pan), -way.zoom * way.lift
    across = math.cos(way.roll) * x + math.sin(way.roll) * y
    down = math.cos(way.roll) * y - math.sin(way.roll) * x
    return _WIDTH / 2 + across, _HEIGHT / 2 + down


class _Way(NamedTuple):
    """How head and camera are turned (radians), how near it is (a scale), how far aside and above it looks (pixels)."""

    yaw: float
    zoom: float
    roll: float
    pan: float
    lift: float


def _way(t: float) -> _Way:
    passing = math.sin(2 * math.pi * t / 8.4 - 0.9)
    return _Way(
        yaw=0.55 * math.sin(2 * math.pi * t / 3.1),
        zoom=1.15 + 0.3 * math.sin(2 * math.pi * t / 6.1),
        roll=0.16 * math.sin(2 * math.pi * t / 4.3 + 1),
        pan=320 * passing**5 if passing > 0 else 40 * passing,  # the face leaves on one side and comes back
        lift=40 + 12 * math.sin(2 * math.pi * t / 1.7),
    )


def _looked_at(way: _Way) -> tuple[Reals, Reals]:
    """Where the pixels of a frame lie in the photograph: x and y, (300, 400) each."""
    across, down = np.meshgrid(
        np.arange(_WIDTH, dtype=np.float32) - _WIDTH / 2, np.arange(_HEIGHT, dtype=np.float32) - _HEIGHT / 2
    )
    x = _FACE[0] + way.pan + (math.cos(way.roll) * across - math.sin(way.roll) * down) / way.zoom
    y = _FACE[1] + way.lift + (math.sin(way.roll) * across + math.cos(way.roll) * down) / way.zoom
    return x, y


def _turned(x: Reals, y: Reals, yaw: float) -> tuple[Reals, Reals]:
    """What is seen at some places once the head has turned about its vertical axis; nothing changes outside the head."""
    across, down = (x - _FACE[0]) / _HEAD[0], (y - _FACE[1]) / _HEAD[1]
    inside = np.clip(1 - across**2 - down**2, 0, 1)
    angle = np.arcsin(np.clip(across, -1, 1))
    return np.where(inside > 0, _FACE[0] + _HEAD[0] * np.sin(angle - yaw * inside), x), y


def _sampled(image: Reals, x: Reals, y: Reals) -> Reals:
    """The image at places between its pixels; beyond its border the border goes on, on the right it is mirrored."""
    height, width = image.shape[:2]
    x, y = np.clip(np.minimum(x, 2 * (width - 1) - x), 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    right_share, low_share = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
    above = image[top, left] * (1 - right_share) + image[top, left + 1] * right_share
    below = image[top + 1, left] * (1 - right_share) + image[top + 1, left + 1] * right_share
    found: Reals = above * (1 - low_share) + below * low_share
    return found
