# SPDX-License-Identifier: Apache-2.0
"""What the rows of the face nets share: how far a figure depends on which persons were tested, and time a crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.results.bench import time_interleaved

__all__ = ["milliseconds", "over_persons"]

Numbers = npt.NDArray[np.int64]

_RESAMPLES = 400
_SECONDS = 2.0


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


def milliseconds(run: Callable[[], Any]) -> dict[str, float]:
    """Time a call that judges one crop: the median and the fastest tenth, which other work on the machine disturbs less."""
    times = 1000 * np.array(time_interleaved({"": run}, _SECONDS)[""])
    return {
        "milliseconds a crop, one thread, median": float(np.median(times)),
        "milliseconds a crop, one thread, fastest tenth": float(np.percentile(times, 10)),
    }
