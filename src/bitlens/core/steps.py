# SPDX-License-Identifier: Apache-2.0
"""Step tables: requantization as sorted integer breakpoints.

A table holds, per channel, the value before the first breakpoint and the value after each one. It covers rising, falling
and non-monotone activations alike, and is exact by construction: `find_steps` reads it off the reference arithmetic.

    >>> table = StepTable(np.array([[2, 5]]), np.array([[0, 1, 2]]))
    >>> table.apply(np.array([[1], [2], [5]]))[:, 0].tolist()
    [0, 1, 2]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.core.reference import Chain, Quantize, ends_in_codes, evaluate, is_monotone

__all__ = ["NEVER", "StepTable", "StepsError", "find_steps"]

IntArray = npt.NDArray[np.int64]

NEVER = (1 << 31) - 1  # a breakpoint that no accumulator reaches: accumulators stay below it

_SCAN_CHUNK = 1 << 20  # integers evaluated at once
_SCAN_LIMIT = 1 << 32  # integers times channels that a scan may visit: about a minute
_FEW_BREAKPOINTS = 40  # up to here comparing with each breakpoint beats a binary search


class StepsError(ValueError):
    """A chain for which no step table can be found."""


@dataclass(frozen=True)
class StepTable:
    """Breakpoints and values of n channels (n = 1: the same for all).

    Args:
        breakpoints: (n, J) int64, ascending in a row; `NEVER` where a row has fewer.
        values: (n, J + 1) int64: the value before the first breakpoint, then after each.
    """

    breakpoints: IntArray
    values: IntArray

    def apply(self, x: npt.ArrayLike) -> IntArray:
        """Requantize integers (..., C), C = n or n = 1, to int64 of the same shape."""
        x = np.asarray(x)
        if self.breakpoints.shape[1] > _FEW_BREAKPOINTS:
            return self._search(x)
        out = np.broadcast_to(self.values[:, 0], x.shape).copy()
        for j in range(self.breakpoints.shape[1]):
            out += (x >= self.breakpoints[:, j]) * (self.values[:, j + 1] - self.values[:, j])
        return np.asarray(out)

    def _search(self, x: npt.NDArray[np.int64]) -> IntArray:
        if len(self.breakpoints) == 1:
            return np.asarray(self.values[0][np.searchsorted(self.breakpoints[0], x, side="right")])
        out = np.empty(x.shape, np.int64)
        for c in range(len(self.breakpoints)):
            out[..., c] = self.values[c][np.searchsorted(self.breakpoints[c], x[..., c], side="right")]
        return out

    def shifted(self, delta: int) -> StepTable:
        """The same steps with `delta` added to every value."""
        return StepTable(self.breakpoints, self.values + delta)

    def merged(self) -> StepTable:
        """One row when all channels are alike, else the table itself."""
        alike = np.all(self.breakpoints == self.breakpoints[:1]) and np.all(self.values == self.values[:1])
        return StepTable(self.breakpoints[:1], self.values[:1]) if alike else self


def find_steps(chain: Chain, lo: npt.ArrayLike, hi: npt.ArrayLike) -> StepTable:
    """Find the step table of a chain over its accumulator's range.

    Bisection where the chain is proven monotone, else a scan of the whole range (style: never a guess).

    Args:
        chain: operators that end in codes.
        lo, hi: smallest and largest accumulator per channel, (C,) integers.

    Returns:
        A table of C rows, equal to `evaluate(chain, x)` for every lo <= x <= hi.

    Raises:
        StepsError: the chain does not end in a quantizer, or is neither monotone nor short enough to scan.
    """
    if not ends_in_codes(chain):
        raise StepsError("steps: the chain must end in a quantizer")
    lo = np.asarray(lo, np.int64)
    hi = np.asarray(hi, np.int64)
    return _bisect(chain, lo, hi) if is_monotone(chain) else _scan(chain, lo, hi)


def _bisect(chain: Chain, lo: IntArray, hi: IntArray) -> StepTable:
    first = evaluate(chain, lo[None])[0]  # (C,)
    last = evaluate(chain, hi[None])[0]
    direction = np.sign(last - first)
    unit = 2 if isinstance(chain[-1], Quantize) and chain[-1].rounding == "SIGN" else 1
    count = np.abs(last - first) // unit  # breakpoints of each channel
    order = np.arange(1, int(count.max(initial=0)) + 1)[:, None]  # (J, 1)
    target = first + direction * unit * order  # (J, C): the value that breakpoint j reaches
    used = order <= count
    below = np.broadcast_to(lo, used.shape).copy()  # largest x known to be before the breakpoint
    above = np.broadcast_to(hi, used.shape).copy()  # smallest x known to be at or after it
    while np.any(used & (above - below > 1)):
        middle = below + (above - below) // 2
        reached = (evaluate(chain, middle) - target) * direction >= 0
        above = np.where(reached, middle, above)
        below = np.where(reached, below, middle)
    breakpoints = np.where(used, above, NEVER).T  # (C, J)
    values = first[:, None] + (direction * unit)[:, None] * np.minimum(np.arange(len(order) + 1), count[:, None])
    return StepTable(np.ascontiguousarray(breakpoints), values.astype(np.int64))


def _scan(chain: Chain, lo: IntArray, hi: IntArray) -> StepTable:
    start, stop = int(lo.min()), int(hi.max())
    if (stop - start + 1) * len(lo) > _SCAN_LIMIT:
        raise StepsError(
            f"steps: a chain that is not proven monotone must have at most {_SCAN_LIMIT} accumulator values to scan, "
            f"not {(stop - start + 1) * len(lo)}"
        )
    channels = len(lo)
    changes: list[tuple[IntArray, IntArray, IntArray]] = []
    previous = np.zeros((0, channels), np.int64)
    first = np.zeros(channels, np.int64)
    size = max(1, _SCAN_CHUNK // channels)
    for begin in range(start, stop + 1, size):
        x = np.arange(begin, min(begin + size, stop + 1), dtype=np.int64)[:, None]  # (N, 1)
        codes = evaluate(chain, np.clip(x, lo, hi))  # outside its own range a channel repeats its end
        if begin == start:
            first = codes[0]
        joined = np.concatenate([previous, codes])
        rows, cols = np.nonzero(joined[1:] != joined[:-1])
        changes.append((cols, rows + begin + 1 - len(previous), joined[1:][rows, cols]))
        previous = codes[-1:]
    cols, xs, codes = (np.concatenate(part) for part in zip(*changes, strict=True))
    count = np.bincount(cols, minlength=channels)
    width = int(count.max(initial=0))
    breakpoints = np.full((channels, width), NEVER, np.int64)
    values = np.repeat(first[:, None], width + 1, axis=1)
    for c in range(channels):
        mine = cols == c
        breakpoints[c, : count[c]] = xs[mine]
        values[c, 1 : count[c] + 1] = codes[mine]
        values[c, count[c] + 1 :] = values[c, count[c]]
    return StepTable(breakpoints, values)
