# SPDX-License-Identifier: Apache-2.0
"""What the parts of the vision line hand to each other: frames, and boxes and faces in pixels of the frame, (0, 0) its corner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Face", "Frame", "VisionError", "check_luma"]


class VisionError(ValueError):
    """What vision was given breaks a rule; one sentence."""


def check_luma(luma: npt.NDArray[np.uint8]) -> None:
    """Refuse what is no luma plane.

    Raises:
        VisionError: not uint8 (H, W) with at least one pixel.
    """
    if not isinstance(luma, np.ndarray) or luma.dtype != np.uint8 or luma.ndim != 2 or not luma.size:
        told = f"{luma.dtype} {luma.shape}" if isinstance(luma, np.ndarray) else type(luma).__name__
        raise VisionError(f"luma: must be uint8 (H, W) with at least one pixel, not {told}")


@dataclass(frozen=True)
class Box:
    """A rectangle of a frame; it may stand out of the frame.

    Args:
        left, top: of its corner, in pixels.
        width, height: in pixels, above 0.
    """

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The end of its columns."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The end of its rows."""
        return self.top + self.height

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.right, self.bottom

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, x and y."""
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a frame.

    Args:
        box: where.
        landmarks: eye, eye, nose tip, mouth corner, mouth corner, the image's left one first, float32 (5, 2) of x and y.
        score: how sure the detector is, 0 to 1.
    """

    box: Box
    landmarks: npt.NDArray[np.float32]
    score: float


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a video.

    Args:
        number: counted from 0, rising.
        time: seconds from the start of the video.
        luma: its brightness, uint8 (H, W), 0 black and 255 white.
        colour: gives its colours, uint8 (H, W, 3) of red, green, blue; asked for only where a crop is kept.
    """

    number: int
    time: float
    luma: npt.NDArray[np.uint8]
    colour: Callable[[], npt.NDArray[np.uint8]]
