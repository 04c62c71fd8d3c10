# SPDX-License-Identifier: Apache-2.0
"""Sums of constant multiples, as few as possible: what the outputs of a hard-wired layer have in common is computed once.

1. Inputs are taken in groups whose bits fit one lookup table; a group's part of an output is a table of those bits. Parts that
   differ by a sign or a power of two are one table.
2. An output then is a sum of signals, each with sign and shift. The pair of signals whose own adder saves most lookup tables
   over all outputs becomes a signal of its own, until no pair saves any (greedy common-subexpression sharing: Hosangadi,
   Fallah, Kastner, Common subexpression elimination involving multiple variables, ASAP 2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

__all__ = ["MOST_TABLE_BITS", "Pair", "Part", "Shared", "Term", "share_sums"]

IntArray = npt.NDArray[np.int64]

MOST_TABLE_BITS = 5  # inputs of a lookup table that gives two functions
_BLOCK = 32  # groups among which pairs are looked for: what bounds the time

Term = tuple[int, int, int]  # signal, shift, sign
_Row = dict[tuple[int, int], int]  # (signal, shift) -> sign
_Key = tuple[int, int, int, int, int]  # signal and shift of two, their relative sign


@dataclass(frozen=True)
class Part:
    """A signal: sum of weights[i] * number[first + i]; the first weight but 0 is positive, and one is odd."""

    first: int
    weights: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """A signal: (signal a << shift a) + sign * (signal b << shift b)."""

    a: int
    a_shift: int
    b: int
    b_shift: int
    sign: int


@dataclass(frozen=True)
class Shared:
    """Outputs as sums of signals.

    Args:
        signals: each a part of a group or a pair of earlier signals.
        rows: terms of every output.
    """

    signals: list[Part | Pair]
    rows: list[list[Term]]


def share_sums(weights: IntArray, in_bits: int, radix: int) -> Shared:
    """Find signals for sum over i of weights[o][i] * number[i].

    Args:
        weights: (outputs, inputs).
        in_bits: of an input; above `MOST_TABLE_BITS` parts are digits of the weights, not tables.
        radix: numbers that an adder takes, 2 or 3: what a pair saves.
    """
    outputs, inputs = weights.shape
    group = max(1, MOST_TABLE_BITS // in_bits)
    signals: list[Part | Pair] = []
    spans: list[int] = []  # largest less least value of a signal
    rows: list[list[Term]] = [[] for _ in range(outputs)]
    for begin in range(0, inputs, group * _BLOCK):
        block: list[_Row] = [{} for _ in range(outputs)]
        numbers: dict[Part, int] = {}
        for first in range(begin, min(inputs, begin + group * _BLOCK), group):
            for output in range(outputs):
                for part, shift, sign in _parts(first, weights[output, first : first + group], in_bits):
                    if part not in numbers:
                        numbers[part] = len(signals)
                        signals.append(part)
                        spans.append(sum(map(abs, part.weights)) * ((1 << in_bits) - 1))
                    block[output][numbers[part], shift] = sign
        _share_pairs(block, signals, spans, radix)
        for row, found in zip(rows, block, strict=True):
            row += [(signal, shift, sign) for (signal, shift), sign in found.items()]
    return Shared(signals, rows)


def _parts(first: int, weights: IntArray, in_bits: int) -> Iterator[tuple[Part, int, int]]:
    """What a group adds to an output, as part, shift and sign."""
    values = [int(weight) for weight in weights]
    if not any(values):
        return
    if in_bits > MOST_TABLE_BITS:
        for shift, sign in _digits(values[0]):
            yield Part(first, (1,)), shift, sign
        return
    shift = min((value & -value).bit_length() - 1 for value in values if value)
    sign = 1 if next(value for value in values if value) > 0 else -1
    yield Part(first, tuple(sign * value >> shift for value in values)), shift, sign


def _digits(weight: int) -> Iterator[tuple[int, int]]:
    """Shift and sign of the fewest digits 1 and -1 that make a number (canonical signed digits)."""
    shift = 0
    while weight:
        if weight & 1:
            digit = 2 - (weight & 3)
            yield shift, digit
            weight -= digit
        weight, shift = weight >> 1, shift + 1


def _share_pairs(rows: list[_Row], signals: list[Part | Pair], spans: list[int], radix: int) -> None:
    """Replace pairs of terms by new signals while that saves lookup tables; changes all arguments but the last."""
    uses: dict[_Key, dict[int, int]] = {}  # how often by row
    for place, row in enumerate(rows):
        terms = sorted(row)
        for index, one in enumerate(terms):
            for other in terms[:index]:
                found = uses.setdefault(_key(row, one, other), {})
                found[place] = found.get(place, 0) + 1

    def saved(key: _Key) -> float:
        count = sum(uses[key].values())
        if count < 2:
            return 0.0
        a, a_shift, b, b_shift, _ = key
        a_bits, b_bits = spans[a].bit_length(), spans[b].bit_length()
        adder = max(a_bits + a_shift, b_bits + b_shift) - max(a_shift, b_shift)
        if radix == 3 and a_shift == b_shift:
            adder -= 1  # the lowest bit's table is shared (hardwired.py)
        return count * (min(a_bits, b_bits) + 0.5) / (radix - 1) - adder

    heap = [(-gain, key) for key in uses if (gain := saved(key)) >= 1]
    heapify(heap)
    while heap:
        said, key = heappop(heap)
        gain = saved(key)
        if gain < 1:
            continue
        if gain < -said:
            heappush(heap, (-gain, key))
            continue
        a, a_shift, b, b_shift, sign = key
        new = len(signals)
        signals.append(Pair(*key))
        spans.append((spans[a] << a_shift) + (spans[b] << b_shift))
        touched: set[_Key] = set()
        for place in list(uses[key]):
            row = rows[place]
            for one in sorted(term for term in row if term[0] == a and term[1] >= a_shift):
                base = one[1] - a_shift
                other = (b, base + b_shift)
                if one not in row or other not in row or one == other or row[one] * row[other] != sign:
                    continue
                made = row[one]
                for gone in (one, other):
                    for term in row:
                        if term != gone:
                            _count(uses, _key(row, gone, term), place, -1)
                    del row[gone]
                for term in row:
                    row[new, base] = made
                    fresh = _key(row, (new, base), term)
                    _count(uses, fresh, place, 1)
                    touched.add(fresh)
                    del row[new, base]
                row[new, base] = made
        for fresh in sorted(touched):
            if (gain := saved(fresh)) >= 1:
                heappush(heap, (-gain, fresh))


def _key(row: _Row, one: tuple[int, int], other: tuple[int, int]) -> _Key:
    (a, a_shift), (b, b_shift) = sorted((one, other))
    low = min(a_shift, b_shift)
    return a, a_shift - low, b, b_shift - low, row[one] * row[other]


def _count(uses: dict[_Key, dict[int, int]], key: _Key, place: int, change: int) -> None:
    found = uses.setdefault(key, {})
    found[place] = found.get(place, 0) + change
    if not found[place]:
        del found[place]
