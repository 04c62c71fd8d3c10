# SPDX-License-Identifier: Apache-2.0
"""How far a figure depends on which persons happened to be tested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["over_persons"]

Numbers = npt.NDArray[np.int64]

_RESAMPLES = 400


def over_persons(figure: Callable[[Numbers], float], persons: Numbers, resamples: int = _RESAMPLES) -> list[float]:
    """Return [value, low, high]: a figure, and its 2.5 and 97.5 percentiles when persons are drawn again with replacement.

    Args:
        figure: of the numbers of samples.
        persons: of each sample, (N,).
        resamples: how often; the draws are the same at every call.
    """
    rng = np.random.default_rng(0)
    own = [np.flatnonzero(persons == person) for person in np.unique(persons)]
    drawn = (np.concatenate([own[i] for i in rng.integers(0, len(own), len(own))]) for _ in range(resamples))
    found = np.array([figure(chosen) for chosen in drawn])
    found = found[np.isfinite(found)]  # a draw may lack a group that the figure compares
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (np.nan, np.nan)
    return [round(float(value), 4) for value in (figure(np.arange(len(persons))), low, high)]
