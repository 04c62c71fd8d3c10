# SPDX-License-Identifier: Apache-2.0
"""Elements of circuits with random parameters and memories, all fed by words of WIDTH bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitlens.fpga.bisection import bisection, stages_of
from bitlens.fpga.memory import Memory, pack_fields, rescale_table, step_table
from bitlens.fpga.network import Element

__all__ = ["WIDTH", "some_elements"]

WIDTH = 12
SHAPES = ((1, 12), (2, 6), (3, 4), (4, 3), (6, 2), (12, 1))  # lanes and bits of a word


def some_elements(rng: np.random.Generator) -> list[Element]:
    """One or two of every kind."""

    def number(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    def element(module: str, memories: dict[str, Memory] | None = None, **parameters: int) -> Element:
        return Element("", module, parameters, {}, {}, memories or {})

    def lanes() -> tuple[int, int, int]:
        count, bits = SHAPES[number(0, len(SHAPES) - 1)]
        return count, bits, number(0, 1)

    made = [element("fifo", WIDTH=WIDTH, DEPTH=number(2, 9)), element("widen", WIDTH=WIDTH, FACTOR=number(2, 5))]
    made.append(element("narrow", WIDTH=WIDTH // 3, FACTOR=3))
    made.append(element("concat2", WIDTH=WIDTH, A_FOLDS=number(1, 3), B_FOLDS=number(1, 3)))
    count, bits, signed = lanes()
    made.append(element("extend", LANES=count, IN_BITS=bits, IN_SIGNED=signed, OUT_BITS=bits + number(1, 4)))
    for module, grown in (("add", lambda bits: bits + 1), ("multiply", lambda bits: 2 * bits)):
        count, bits, _ = lanes()
        signs = {"A_SIGNED": number(0, 1), "B_SIGNED": number(0, 1)}
        made.append(element(module, LANES=count, A_BITS=bits, B_BITS=bits, OUT_BITS=grown(bits) + 1, **signs))
    for total in (0, 1):
        count, bits, signed = lanes()
        folds, taps = number(1, 3), number(1, 6)
        out = bits + 3 if total else bits
        common = {"LANES": count, "FOLDS": folds, "TAPS": taps, "IN_BITS": bits, "IN_SIGNED": signed}
        made.append(element("pool", OUT_BITS=out, SUM=total, **common))
    count, bits, signed = lanes()
    folds, taps, wide = number(1, 3), number(1, 5), number(1, 4)
    weights = rng.integers(-(1 << (wide - 1)), 1 << (wide - 1), (taps * folds, count))
    made.append(
        element(
            "depthwise",
            {"WEIGHTS": pack_fields((weights, wide))},
            LANES=count,
            FOLDS=folds,
            TAPS=taps,
            IN_BITS=bits,
            IN_SIGNED=signed,
            WEIGHT_BITS=wide,
            OUT_BITS=bits + wide + 4,
        )
    )
    count, bits, signed = lanes()
    folds = number(1, 4)
    made.append(
        element(
            "argmax",
            LANES=count,
            FOLDS=folds,
            IN_BITS=bits,
            IN_SIGNED=signed,
            OUT_BITS=max(1, (count * folds - 1).bit_length()),
        )
    )
    made += [_steps(rng, *lanes()[:2], number(1, 3), number(0, 1))]
    made += [_rescale(rng, *lanes(), number(1, 3), number(0, 1), limits) for limits in ((-13, 15), (-16, 15), (0, 31))]
    made += [_bisect(rng, *lanes()[:2], number(1, 3), same) for same in (0, 1)]
    takes, gives = number(1, 6), number(1, 7)
    order = rng.integers(0, takes, (gives, 1))
    memories = {"ORDER": pack_fields((order, max(1, (takes - 1).bit_length())))}
    made.append(element("reorder", memories, BEAT=WIDTH, TAKES=takes, GIVES=gives))
    folds = number(1, 3)
    table = pack_fields((rng.integers(0, 1 << 5, ((1 << WIDTH) * folds, 1)), 5))
    made.append(element("lookup", {"TABLE": table}, IN_BITS=WIDTH, ROWS=1 << WIDTH, FOLDS=folds, BEAT=5))
    kernel, stride, dilation = number(1, 4), number(1, 3), number(1, 3)
    columns = stride * number(0, 4) + dilation * (kernel - 1) + 1
    made.append(element("slide", BEAT=WIDTH, COLUMNS=columns, KERNEL=kernel, STRIDE=stride, DILATION=dilation))
    return [*made, _window(rng, 0), _window(rng, 1), _window(rng, 0), _upsample(rng), _upsample(rng)]


def _steps(rng: np.random.Generator, lanes: int, bits: int, folds: int, same: int) -> Element:
    levels, out = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    rows = 1 if same else folds
    breakpoints = np.sort(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows * lanes, levels)), axis=1)
    table = step_table(
        breakpoints, rng.integers(0, 1 << out, (rows * lanes, levels + 1)), rows * lanes, lanes, bits, out, None
    )
    sizes = {"LANES": lanes, "FOLDS": folds, "ROWS": rows, "IN_BITS": bits, "LEVELS": levels, "OUT_BITS": out}
    return Element("", "steps", sizes, {}, {}, {"TABLE": table})


def _bisect(rng: np.random.Generator, lanes: int, bits: int, folds: int, same: int) -> Element:
    levels, out, rows = int(rng.integers(1, 27)), 5, 1 if same else folds
    breakpoints = np.sort(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows * lanes, levels)), axis=1)
    values = rng.integers(0, 1 << out, (rows * lanes, levels + 1))
    if same:
        values[:] = 5 + np.arange(levels + 1)
    memories, first = bisection(breakpoints, values, rows * lanes, lanes, bits, out)
    sizes = {"LANES": lanes, "FOLDS": folds, "ROWS": rows, "IN_BITS": bits, "OUT_BITS": out}
    sizes |= {"STAGES": stages_of(levels), "COUNTS": int(first is not None), "FIRST": first or 0}
    return Element("", "bisect", sizes, {}, {}, memories)


def _rescale(
    rng: np.random.Generator, lanes: int, bits: int, signed: int, folds: int, same: int, limits: tuple[int, int]
) -> Element:
    rows = 1 if same else folds
    columns = rng.integers(-500, 500, rows * lanes), rng.integers(-5000, 5000, rows * lanes)
    table, (multiplier, addend) = rescale_table(*columns, rows * lanes, lanes)
    sizes: dict[str, Any] = {"LANES": lanes, "FOLDS": folds, "ROWS": rows, "IN_BITS": bits, "IN_SIGNED": signed}
    sizes |= {"MULTIPLIER_BITS": multiplier, "ADDEND_BITS": addend, "SHIFT": int(rng.integers(0, 12))}
    most = 500 * (1 << bits) + 5000
    sizes["TOTAL_BITS"] = most.bit_length() + 1
    sizes |= {"OUT_BITS": 5, "LO": limits[0], "HI": limits[1]}
    return Element("", "rescale", sizes, {}, {}, {"TABLE": table})


def _window(rng: np.random.Generator, column: int) -> Element:
    p: dict[str, int] = {
        "HEIGHT": int(rng.integers(1, 6)),
        "WIDTH": int(rng.integers(1, 6)),
        "FOLDS": int(rng.integers(1, 3)),
    }
    p |= {"BEAT": WIDTH, "COLUMN": column, "FILL": int(rng.integers(0, 1 << WIDTH))}
    for axis, side, begin in (("H", "HEIGHT", "TOP"), ("W", "WIDTH", "LEFT")):
        kernel, dilation = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        reach = dilation * (kernel - 1)
        before, after = (int(rng.integers(0, reach + 1)) for _ in range(2))
        after = max(after, reach + 1 - p[side] - before)  # a window must fit
        stride = int(rng.integers(1, 4))
        p |= {f"KERNEL_{axis}": kernel, f"DILATION_{axis}": dilation, f"STRIDE_{axis}": stride, f"PAD_{begin}": before}
        p[f"OUT_{side}"] = (p[side] + before + after - reach - 1) // stride + 1
    p["ROWS"] = p["DILATION_H"] * (p["KERNEL_H"] - 1) + 1 + p["STRIDE_H"]
    return Element("", "window", p, {}, {})


def _upsample(rng: np.random.Generator) -> Element:
    p: dict[str, int] = {
        "HEIGHT": int(rng.integers(1, 5)),
        "WIDTH": int(rng.integers(1, 5)),
        "FOLDS": int(rng.integers(1, 3)),
    }
    p |= {"BEAT": WIDTH, "REPEAT": int(rng.integers(0, 2))}
    for axis, side, begin in (("H", "HEIGHT", "TOP"), ("W", "WIDTH", "LEFT")):
        factor = int(rng.integers(1, 4))
        whole = p[side] * factor
        before = int(rng.integers(-(whole - 1), 4)) if rng.integers(2) else 0
        after = int(rng.integers(-(whole + before - 1), 4)) if before < 0 else int(rng.integers(-(whole - 1), 4))
        p |= {f"FACTOR_{axis}": factor, f"PAD_{begin}": before, f"OUT_{side}": max(1, whole + before + after)}
    return Element("", "upsample", p, {}, {})
