# SPDX-License-Identifier: Apache-2.0
"""How much fine detail a picture has: whether it is sharp enough to be made worse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.data.degrade import resized

__all__ = ["detail"]


def detail(crop: npt.NDArray[np.uint8]) -> float:
    """Return what is lost when a crop (H, W) is halved and doubled again, over its contrast; 0 for a flat one."""
    image = crop.astype(np.float32)
    height, width = image.shape
    coarse = resized(resized(image, (height // 2, width // 2)), (height, width))
    deviation = float(image.std())
    return float((image - coarse).std()) / deviation if deviation else 0.0
