# SPDX-License-Identifier: Apache-2.0
"""How well a face is exposed: neither in the dark nor burnt out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.vision.records import Box

__all__ = ["exposure"]

_DARK, _BRIGHT = 8, 247  # luma at or beyond which nothing can be made out
_MEANS, _VALUES = (10.0, 55.0, 195.0, 245.0), (0.0, 1.0, 1.0, 0.0)
_SIDE = 32  # pixels looked at a side, at most about


def exposure(luma: npt.NDArray[np.uint8], box: Box) -> float:
    """Return the exposure of a face, 0 to 100: the share of its pixels that are not clipped, less where its mean is extreme.

    The mean counts in full from 55 to 195 and falls to 0 at 10 and at 245. It is made to compare shots of one face: dark and
    light skin differ by less than that range, lighting by more.

    Args:
        luma: uint8 (H, W).
        box: of the face; only its part inside the frame counts.

    Returns:
        The exposure; 0 for a box outside the frame.
    """
    height, width = luma.shape
    top, bottom = max(0, int(box.top)), min(height, int(np.ceil(box.bottom)))
    left, right = max(0, int(box.left)), min(width, int(np.ceil(box.right)))
    if top >= bottom or left >= right:
        return 0.0
    pixels = luma[top : bottom : max(1, (bottom - top) // _SIDE), left : right : max(1, (right - left) // _SIDE)]
    kept = float(((pixels > _DARK) & (pixels < _BRIGHT)).mean())
    return 100 * kept * float(np.interp(pixels.mean(), _MEANS, _VALUES))
