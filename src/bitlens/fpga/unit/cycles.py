# SPDX-License-Identifier: Apache-2.0
"""How many cycles every layer takes, to the cycle: the unit's clock without its data.

It holds for a memory that grants a burst where it is asked for, gives the first word `latency` cycles later and then one a cycle,
and takes a word a cycle. A layer begins with bursts for its descriptor, weights and table; then rows come while out folds
run, whichever waits for the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitlens.fpga.unit.descriptor import descriptor_words
from bitlens.fpga.unit.schedule import Schedule
from bitlens.fpga.unit.size import LEVELS, UnitSize

__all__ = ["fold_cycles", "image_cycles", "layer_ends", "traffic"]

_HELD_DELAY = 8  # rows are let go so much later (rtl/unit_loops.sv)
_TO_ARRAY = 5  # from a beat's turn to its addresses
_FROM_ARRAY = 5  # to the first totals, without the levels of adders
_SEARCH = 2 * LEVELS + 1
_COLLECT = 3  # to the queue and out of it


def fold_cycles(fields: Mapping[str, int]) -> tuple[int, int]:
    """Cycles of an out fold that multiply, and those from one out fold to the next at least."""
    busy = fields["beats"] * fields["digits"] * fields["planes"]
    return busy, max(busy, fields["floor"])


def layer_ends(schedule: Schedule, latency: int = 8) -> list[int]:
    """The cycle in which each layer's last word is written, counted from `go`.

    Args:
        schedule: what runs.
        latency: cycles from a burst's grant to its first word.
    """
    ends, now = [], 1
    for step in schedule.steps:
        fields = step.fields
        for words in (descriptor_words(schedule.size.simd), fields["weight_words"], fields["table_words"]):
            now += latency + words  # asked for in `now`, over in the cycle before
        end = _last_beat(fields, now + 1, latency) + _drain(fields, schedule.size)
        ends.append(end)
        now = end + 1
    return ends


def image_cycles(schedule: Schedule, latency: int = 8) -> int:
    """Cycles of an image, from `go` to `done`, which comes the cycle after the last word.

    Args:
        schedule: what runs.
        latency: cycles from a burst's grant to its first word.
    """
    return layer_ends(schedule, latency)[-1] + 1


def traffic(schedule: Schedule) -> list[tuple[int, int]]:
    """Words that each layer reads and writes."""
    found = []
    for step in schedule.steps:
        f = step.fields
        begin = descriptor_words(schedule.size.simd) + f["weight_words"] + f["table_words"]
        found.append((begin + f["height"] * (f["words1"] + f["words2"]), f["result_words"]))
    return found


def _last_beat(f: Mapping[str, int], start: int, latency: int) -> int:
    """The turn of a layer's last beat; rows and loops may begin in cycle `start`."""
    busy, fold = fold_cycles(f)
    folds = f["out_width"] * f["pool_h"] * f["pool_w"] * f["out_folds"]  # of a row
    row_cycles = sum(latency + f[name] for name in ("words1", "words2") if f[name])
    ready = [0]  # ready[n]: the first cycle that knows of n rows
    asks, held, let_go = (
        start,
        0,
        0,
    )  # the loader may ask in `asks`; it knows of `held` rows that went, from `let_go` on
    free, last = start, start
    for row in range(f["out_height"]):
        top = row * f["advance_h"] - f["pad_top"]
        bottom = top + f["reach_h"]
        needed = min(f["height"], (bottom >> f["up_h"]) + 1 if bottom >= 0 else 0)
        wanted = max(top, 0) >> f["up_h"]
        if row:
            rows_before = min(f["height"], held + f["slots"])
            asks = _load(ready, rows_before, asks, 0, row_cycles)
            held, let_go = wanted, last + 1 + _HELD_DELAY
        asks = _load(ready, needed, asks, let_go, row_cycles)
        begin = max(free, ready[needed])
        last = begin + (folds - 1) * fold + busy - 1
        free = begin + folds * fold
    return last


def _load(ready: list[int], rows: int, asks: int, from_cycle: int, row_cycles: int) -> int:
    """Let rows come until there are `rows`; the first may be asked for in `from_cycle`. Returns when the next may be."""
    while len(ready) <= rows:
        asks = max(asks, from_cycle) + row_cycles
        ready.append(asks)
    return asks


def _drain(f: Mapping[str, int], size: UnitSize) -> int:
    """Cycles from a layer's last beat to its last word."""
    to_totals = _TO_ARRAY + _FROM_ARRAY + size.adder_levels
    return to_totals + size.pe // size.lanes + _SEARCH + _COLLECT + f["out_planes"]
