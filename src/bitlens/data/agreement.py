# SPDX-License-Identifier: Apache-2.0
"""How well a score puts things in order: rank correlation, the area under the ROC curve, the threshold of some false alarms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["FRONTAL_DEGREES", "TURNED_DEGREES", "auc", "frontal_auc", "ranks", "spearman", "threshold_at"]

Reals = npt.NDArray[np.float64]

FRONTAL_DEGREES, TURNED_DEGREES = 15.0, 35.0  # of yaw: up to the first a face is frontal, above the second turned


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


def frontal_auc(frontality: npt.ArrayLike, yaw: npt.ArrayLike) -> float:
    """Return the AUC of the frontality (N,) of frontal faces against that of turned ones, by their true yaw (N,) in degrees."""
    found, away = np.asarray(frontality), np.abs(np.asarray(yaw))
    return auc(found[away <= FRONTAL_DEGREES], found[away > TURNED_DEGREES])


def threshold_at(scores: npt.ArrayLike, pictures: int, alarms: float) -> float:
    """Return the least score from which false alarms are at most so many a picture, on average.

    Args:
        scores: of all false alarms in pictures that hold nothing, (D,).
        pictures: how many they were.
        alarms: allowed, a picture.

    Returns:
        The next number above the first score that is too many; minus infinity where none is.
    """
    ranked = np.sort(np.asarray(scores, np.float64))[::-1]
    most = int(alarms * pictures + 1e-9)  # 0.29 * 100 is 28.999...
    return float(np.nextafter(ranked[most], np.inf)) if len(ranked) > most else -np.inf
