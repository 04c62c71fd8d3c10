# SPDX-License-Identifier: Apache-2.0
"""Sharp grey crops made worse in known amounts: blur, fewer pixels, contrast, noise, JPEG, in this order.

`draw_mixture` draws what clearness is judged on, `draw_training` the wider mixture that is trained on. Kinds that are never
trained on are in `unseen.py`.

    >>> rng = np.random.default_rng(0)
    >>> worse = degrade(crop, draw_mixture(rng), rng)  # doctest: +SKIP
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Degradation",
    "blur",
    "degrade",
    "draw_mixture",
    "draw_training",
    "jpeg",
    "motion",
    "moved",
    "resized",
    "spoil",
    "to_bytes",
    "webp",
]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

_BLUR = (0.0, 4.0)
_SIDE = (40, 120)
_GAIN = (0.4, 1.2)
_MEAN = (60.0, 170.0)
_NOISE = (0.0, 12.0)
_QUALITY = (30, 95)
_REACH = 4.0  # of a Gaussian, in standard deviations


@dataclass(frozen=True)
class Degradation:
    """Amounts; the defaults leave a crop as it is.

    Args:
        sigma: of the Gaussian blur, in pixels of the crop.
        length, angle: of a straight motion, in pixels and radians; 0 for none.
        side: pixels that are left along a side; None leaves them all.
        gain: of the contrast about the mean.
        mean: new mean, 0 to 255; None keeps it.
        noise: standard deviation of additive Gaussian noise.
        quality: of JPEG, 1 to 95; None for none.
        codec: "webp" in JPEG's place; its quality goes from 0 to 100.
    """

    sigma: float = 0.0
    length: float = 0.0
    angle: float = 0.0
    side: int | None = None
    gain: float = 1.0
    mean: float | None = None
    noise: float = 0.0
    quality: int | None = None
    codec: Literal["jpeg", "webp"] = "jpeg"


def draw_mixture(rng: np.random.Generator) -> Degradation:
    """Draw blur of 0 to 4 pixels and every nuisance at once: 40 to 120 pixels, gain, mean, noise, JPEG 30 to 95."""
    return Degradation(
        sigma=rng.uniform(*_BLUR),
        side=int(rng.integers(_SIDE[0], _SIDE[1] + 1)),
        gain=rng.uniform(*_GAIN),
        mean=rng.uniform(*_MEAN),
        noise=rng.uniform(*_NOISE),
        quality=int(rng.integers(_QUALITY[0], _QUALITY[1] + 1)),
    )


def draw_training(rng: np.random.Generator) -> Degradation:
    """Draw from a wider mixture: nuisances are left out by chance, sizes begin at 24, 3 in 10 are moved, a quarter is WebP.

    WebP's lossy form is VP8's intra coding, a relative of H.264's.
    """
    drawn = draw_mixture(rng)
    if rng.random() < 0.5:
        return _recoded(drawn, rng)
    if rng.random() < 0.6:
        length, angle = rng.uniform(0.0, 14.0), rng.uniform(0.0, math.pi)
        drawn = replace(drawn, length=length, angle=angle, sigma=drawn.sigma * float(rng.random() < 0.5))
    leave = rng.random(4) < 0.35
    small = int(math.exp(rng.uniform(math.log(24), math.log(_SIDE[1]))))
    smooth = rng.random() < 0.4
    wider = replace(
        drawn,
        codec="webp" if smooth else "jpeg",
        side=None if leave[0] else small,
        gain=1.0 if leave[1] else drawn.gain,
        mean=None if leave[1] else drawn.mean,
        noise=0.0 if leave[2] else drawn.noise * rng.uniform(0.0, 1.5),
        quality=None if leave[3] else int(rng.integers(0, 80) if smooth else rng.integers(20, _QUALITY[1] + 1)),
    )
    return _recoded(wider, rng)


def _recoded(drawn: Degradation, rng: np.random.Generator) -> Degradation:
    """The same; a fifth of what is JPEG becomes WebP."""
    if drawn.codec == "jpeg" and drawn.quality is not None and rng.random() < 0.2:
        return replace(drawn, codec="webp", quality=int(rng.integers(0, 80)))
    return drawn


def degrade(crop: Bytes, amounts: Degradation, rng: np.random.Generator) -> Bytes:
    """Return a crop (H, W) made worse, of the same size.

    Args:
        crop: sharp, uint8 (H, W).
        amounts: of each degradation.
        rng: source of the noise.
    """
    image = crop.astype(np.float32)
    if amounts.sigma > 0:
        image = blur(image, amounts.sigma)
    if amounts.length > 0:
        image = motion(image, amounts.length, amounts.angle)
    return spoil(image, amounts, rng)


def spoil(image: Reals, amounts: Degradation, rng: np.random.Generator) -> Bytes:
    """Apply what follows the blur: size, contrast, noise, JPEG; and back to the size it had."""
    shape = image.shape
    if amounts.side is not None:
        image = resized(image, (amounts.side, amounts.side))
    middle = float(image.mean())
    image = (image - middle) * amounts.gain + (middle if amounts.mean is None else amounts.mean)
    if amounts.noise > 0:
        image = image + rng.normal(0.0, amounts.noise, image.shape).astype(np.float32)
    found = to_bytes(image)
    if amounts.quality is not None:
        found = (webp if amounts.codec == "webp" else jpeg)(found, amounts.quality)
    return found if found.shape == shape else to_bytes(resized(found.astype(np.float32), shape))


def blur(image: Reals, sigma: float) -> Reals:
    """Return an image (H, W) under a Gaussian of `sigma` pixels, cut at four of them; border pixels go on outside."""
    rows, columns = (_gaussian(length, sigma) for length in image.shape)
    out: Reals = rows @ image @ columns.T
    return out


def motion(image: Reals, length: float, angle: float) -> Reals:
    """Return an image (H, W) moved along a straight line of `length` pixels during exposure."""
    along = np.linspace(-length / 2, length / 2, 2 * math.ceil(length) + 1)
    return moved(image, along * math.sin(angle), along * math.cos(angle))


def moved(image: Reals, down: npt.NDArray[np.float64], across: npt.NDArray[np.float64]) -> Reals:
    """Return the mean of an image (H, W) at many offsets, bilinear between pixels; border pixels go on outside."""
    reach = math.ceil(max(np.abs(down).max(), np.abs(across).max())) + 1
    height, width = image.shape
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for y, x in zip(down, across, strict=True):
        top, left = math.floor(y), math.floor(x)
        for i, share_y in ((top, top + 1 - y), (top + 1, y - top)):
            for j, share_x in ((left, left + 1 - x), (left + 1, x - left)):
                kernel[i + reach, j + reach] += share_y * share_x / len(down)
    padded = np.pad(image, reach, mode="edge")
    out = np.zeros_like(image)
    for i, j in zip(*np.nonzero(kernel), strict=True):
        out += np.float32(kernel[i, j]) * padded[i : i + height, j : j + width]
    return out


def resized(image: Bytes | Reals, shape: tuple[int, int]) -> Reals:
    """Return an image scaled to (H, W), bilinear, float32; each pixel a mean over its area where it shrinks.

    Bytes are rounded on the way, real numbers are not.
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)


def to_bytes(image: npt.NDArray[np.floating]) -> Bytes:
    """Round half up and clip to 0..255."""
    rounded: Bytes = np.floor(image + 0.5).clip(0, 255).astype(np.uint8)
    return rounded


def jpeg(image: Bytes, quality: int) -> Bytes:
    """Return an image (H, W) written as grey JPEG and read again."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def webp(image: Bytes, quality: int) -> Bytes:
    """Return an image (H, W) written as lossy WebP and read again: predicted and smoothed blocks, as in videos."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).convert("RGB").save(stream, "WEBP", quality=quality, method=2)
    return np.asarray(Image.open(stream).convert("L"))


def _gaussian(length: int, sigma: float) -> Reals:
    """Return the matrix (length, length) that blurs a line."""
    reach = math.ceil(_REACH * sigma)
    offsets = np.arange(-reach, reach + 1)
    shares = np.exp(-0.5 * (offsets / sigma) ** 2)
    places = np.arange(length)[:, None]
    matrix = np.zeros((length, length))
    np.add.at(matrix, (places, (places + offsets).clip(0, length - 1)), shares / shares.sum())
    return matrix.astype(np.float32)
