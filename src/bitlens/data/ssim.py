# SPDX-License-Identifier: Apache-2.0
"""Structural similarity of two grey images: 1 for equal ones.

Source: Wang et al., Image quality assessment, IEEE TIP 13 (2004), with a flat window of 7x7 in the place of a Gaussian one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["structural_similarity"]

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def structural_similarity(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the mean over all whole 7x7 windows of two images (H, W) of 0 to 255; variances over n - 1."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    mean_a, mean_b = _means(a), _means(b)
    variance_a = unbiased * (_means(a * a) - mean_a**2)
    variance_b = unbiased * (_means(b * b) - mean_b**2)
    covariance = unbiased * (_means(a * b) - mean_a * mean_b)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    return float((luminance * structure).mean())


def _means(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean of every whole window, (H - 6, W - 6)."""
    for _ in range(2):  # down, then across
        pairs = image[:-1] + image[1:]
        fours = pairs[:-2] + pairs[2:]
        image = (fours[:-3] + pairs[4:-1] + image[6:]).T.copy()  # rows i to i + 6
    return image / _WINDOW**2
