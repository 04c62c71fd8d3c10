# SPDX-License-Identifier: Apache-2.0
"""How well a score puts things in order: rank correlation, and the area under the ROC curve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["auc", "ranks", "spearman"]

Reals = npt.NDArray[np.float64]


def ranks(values: npt.ArrayLike) -> Reals:
    """Return the ranks 1 to N of numbers (N,); equal numbers share the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    out: Reals = (last - (counts - 1) / 2)[inverse]
    return out


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the correlation of the ranks of two lists of numbers, -1 to 1; NaN where one has a single value."""
    a, b = (values - values.mean() for values in (ranks(first), ranks(second)))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / spread if spread else float("nan")


def auc(positive: npt.ArrayLike, negative: npt.ArrayLike) -> float:
    """Return the chance that a positive's score is above a negative's, ties counted half; NaN where there are none."""
    high, low = np.asarray(positive), np.asarray(negative)
    if not (high.size and low.size):
        return float("nan")
    above = ranks(np.concatenate([high, low]))[: high.size].sum() - high.size * (high.size + 1) / 2
    return float(above) / (high.size * low.size)
