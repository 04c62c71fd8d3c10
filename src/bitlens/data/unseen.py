# SPDX-License-Identifier: Apache-2.0
"""Kinds of degradation that no net of ours is trained on: they show what a clearness score is worth elsewhere.

disc: a lens out of focus. curve: motion along an arc. Both in the place of the mixture's Gaussian blur.
h264: a frame of a video. twice: JPEG, its blocks shifted, JPEG again. Both in the place of the mixture's JPEG.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.data.dataset import DataError
from bitlens.data.degrade import blur, draw_mixture, jpeg, moved, resized, spoil, to_bytes

__all__ = ["UNSEEN", "Unseen", "arc", "disc", "h264", "twice"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

_FINE = 8  # points a pixel across a disc


class Unseen(NamedTuple):
    """A crop made worse by an unseen kind.

    Args:
        crop: uint8 (H, W).
        amount: of the blur, in pixels: a disc's radius, an arc's length, a Gaussian's standard deviation.
    """

    crop: Bytes
    amount: float


def disc(image: Reals, radius: float) -> Reals:
    """Return an image (H, W) whose points are spread over discs of `radius` pixels; border pixels go on outside."""
    reach = math.ceil(radius) + 1
    points = (np.arange((2 * reach + 1) * _FINE) + 0.5) / _FINE - reach - 0.5
    inside = np.hypot(points[:, None], points) <= max(radius, 0.5)
    shares = inside.reshape(2 * reach + 1, _FINE, -1, _FINE).mean((1, 3))
    shares /= shares.sum()
    padded, out = np.pad(image, reach, mode="edge"), np.zeros_like(image)
    for i, j in zip(*np.nonzero(shares), strict=True):
        out += np.float32(shares[i, j]) * padded[i : i + image.shape[0], j : j + image.shape[1]]
    return out


def arc(image: Reals, length: float, turn: float, angle: float) -> Reals:
    """Return an image (H, W) moved along an arc.

    Args:
        image: float32.
        length: of the arc, in pixels, above 0.
        turn: by how much the direction changes along it, radians, not 0.
        angle: of the direction in its middle, radians.
    """
    along = np.linspace(-0.5, 0.5, 2 * math.ceil(length) + 1) * turn  # the direction's change at each point
    radius = length / turn
    x, y = radius * np.sin(along), radius * (1 - np.cos(along))
    across, down = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    return moved(image, down - down.mean(), across - across.mean())


def twice(crop: Bytes, first: int, second: int, shift: tuple[int, int]) -> Bytes:
    """Return a crop (H, W) through JPEG of quality `first` and, its blocks shifted by so many pixels, `second`."""
    down, across = shift
    grown = np.pad(crop, ((down, 8), (across, 8)), mode="edge")
    again = jpeg(jpeg(grown, first)[down:, across:], second)
    return again[: crop.shape[0], : crop.shape[1]]


def h264(crop: Bytes, quantizer: int, rng: np.random.Generator, frames: int = 6) -> Bytes:
    """Return the last of some frames of a crop (even H, W) that trembles by a pixel, coded as H.264.

    Args:
        crop: uint8.
        quantizer: constant rate factor of x264, 0 to 51; more is worse.
        rng: source of the trembling and of a little noise of the camera.
        frames: the first is coded alone, the others after the one before.

    Raises:
        DataError: PyAV is not installed, or has no x264.
    """
    try:
        import av
    except ImportError as error:
        raise DataError("h264: PyAV must be installed (pip install bitlens[camera]), it is missing") from error
    stream = io.BytesIO()
    height, width = crop.shape
    with av.open(stream, "w", format="mp4") as file:
        try:
            track = file.add_stream("libx264", rate=30)
        except ValueError as error:
            raise DataError("h264: PyAV must have libx264, this one has not") from error
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        track.options = {"crf": str(quantizer), "preset": "veryfast", "bf": "0", "threads": "1"}
        padded = np.pad(crop, 2, mode="edge")
        for number in range(frames):
            down, across = (2, 2) if number == frames - 1 else rng.integers(1, 4, 2)
            still = padded[down : down + height, across : across + width]
            luma = to_bytes(still + rng.normal(0.0, 1.5, still.shape))
            planes = np.vstack([luma, np.full((height // 2, width), 128, np.uint8)])  # I420: (3 H / 2, W)
            file.mux(track.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        file.mux(track.encode(None))
    stream.seek(0)
    with av.open(stream) as file:
        *_, last = file.decode(video=0)
        found: Bytes = last.to_ndarray(format="yuv420p")[:height]  # "gray" would stretch 16..235 to 0..255
    return found


def _disc(crop: Bytes, rng: np.random.Generator) -> Unseen:
    radius = rng.uniform(0.0, 6.0)
    return Unseen(spoil(disc(crop.astype(np.float32), radius), draw_mixture(rng), rng), radius)


def _curve(crop: Bytes, rng: np.random.Generator) -> Unseen:
    length, angle = rng.uniform(0.5, 16.0), rng.uniform(0.0, 2 * math.pi)
    turn = rng.uniform(math.pi / 3, 1.5 * math.pi)
    moving = arc(crop.astype(np.float32), length, turn, angle)
    return Unseen(spoil(moving, draw_mixture(rng), rng), length)


def _h264(crop: Bytes, rng: np.random.Generator) -> Unseen:
    return _coded(crop, lambda image: h264(image, int(rng.integers(18, 43)), rng), rng)


def _twice(crop: Bytes, rng: np.random.Generator) -> Unseen:
    first, second = (int(quality) for quality in rng.integers(20, 91, 2))
    shift = (int(rng.integers(1, 8)), int(rng.integers(1, 8)))
    return _coded(crop, lambda image: twice(image, first, second, shift), rng)


def _coded(crop: Bytes, code: Callable[[Bytes], Bytes], rng: np.random.Generator) -> Unseen:
    """Blur, shrink, contrast and noise as in the mixture; then a code of its own in the place of JPEG."""
    amounts = draw_mixture(rng)
    assert amounts.side is not None
    small = amounts.side // 2 * 2  # H.264 halves the colours
    image = resized(blur(crop.astype(np.float32), max(amounts.sigma, 0.01)), (small, small))
    coded = code(spoil(image, replace(amounts, side=None, quality=None), rng))
    return Unseen(to_bytes(resized(coded.astype(np.float32), crop.shape)), amounts.sigma)


UNSEEN: dict[str, Callable[[Bytes, np.random.Generator], Unseen]] = {
    "disc": _disc,
    "curve": _curve,
    "h264": _h264,
    "twice": _twice,
}
