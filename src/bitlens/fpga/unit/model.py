# SPDX-License-Identifier: Apache-2.0
"""What the unit does, in numpy: slow, obvious, without a clock. It reads descriptors and words, as the circuit does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bitlens.fpga.unit.descriptor import descriptor_words, unpack_descriptor
from bitlens.fpga.unit.size import UnitSize

__all__ = ["run_unit"]

IntArray = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint8]


def run_unit(memory: Words, size: UnitSize, program: int = 0) -> int:
    """Run a program of layers in place.

    Args:
        memory: uint8 (words, simd), digits of 2 bits.
        size: of the unit.
        program: address of the first descriptor.

    Returns:
        How many layers ran.
    """
    step = descriptor_words(size.simd)
    for count in range(1, 1 << 16):
        fields = unpack_descriptor(memory[program : program + step])
        words = np.array([*_layer(memory, fields, size)], np.uint8).reshape(-1, size.simd)
        assert len(words) == fields["result_words"]
        memory[fields["result"] : fields["result"] + len(words)] = words
        program += step
        if fields["last"]:
            return count
    raise AssertionError("a program ends")


def _numbers(memory: Words, f: dict[str, int]) -> IntArray:
    """Codes of both sources, (H, W, folds * simd)."""
    both = []
    for source, pitch, folds in (("source1", "pitch1", "folds1"), ("source2", "pitch2", "folds2")):
        rows = []
        for row in range(f["height"] if f[folds] else 0):
            begin = f[source] + row * f[pitch]
            rows.append(memory[begin : begin + f["width"] * f["planes"] * f[folds]].astype(np.int64))
        if rows:
            digits = np.array(rows).reshape(f["height"], f["width"], f[folds], f["planes"], -1)
            codes = (digits << (2 * np.arange(f["planes"]))[:, None]).sum(axis=3)
            both.append(codes.reshape(f["height"], f["width"], -1))
    return np.concatenate(both, axis=2)


def _weights(memory: Words, f: dict[str, int], size: UnitSize) -> IntArray:
    """(O, taps, lanes), O a multiple of PE."""
    words = memory[f["weights"] : f["weights"] + f["weight_words"]].astype(np.int64)
    digits = words.reshape(f["out_folds"], f["digits"], f["kernel_h"] * f["kernel_w"], -1, size.pe, size.simd)
    values = ((digits ^ 2) - 2).transpose(1, 0, 4, 2, 3, 5)  # (digits, out folds, PE, taps, folds, SIMD)
    whole = sum(values[j] << (2 * j) for j in range(f["digits"]))
    return np.asarray((whole << f["twice"]) + f["gain"]).reshape(f["out_folds"] * size.pe, values.shape[3], -1)


def _breakpoints(memory: Words, f: dict[str, int], size: UnitSize) -> list[IntArray]:
    """By level: (channels, 2^level)."""
    words = memory[f["table"] : f["table"] + f["table_words"]].astype(object).reshape(-1, size.entry_words * size.simd)
    entries = (words << (2 * np.arange(words.shape[1])).astype(object)).sum(axis=1)
    levels, begin = [], 0
    for level in range(max(1, f["bits"])):
        count = (f["groups"] << level) * size.lanes
        part = entries[begin : begin + count].reshape(f["groups"], 1 << level, size.lanes)
        levels.append(np.asarray(part.transpose(0, 2, 1).reshape(-1, 1 << level), np.int64))
        begin += count
    return levels


def _layer(memory: Words, f: dict[str, int], size: UnitSize) -> Iterator[Words]:
    """The words of the result, in order."""
    numbers, weights, levels = _numbers(memory, f), _weights(memory, f, size), _breakpoints(memory, f, size)
    for row in range(f["out_height"]):
        for column in range(f["out_width"]):
            best: IntArray | None = None
            for py in range(f["pool_h"]):
                for px in range(f["pool_w"]):
                    top = row * f["advance_h"] - f["pad_top"] + py * f["step_h"]
                    left = column * f["advance_w"] - f["pad_left"] + px * f["step_w"]
                    codes = _codes(_totals(numbers, weights, top, left, f, size), levels, f, size)
                    best = codes if best is None else np.maximum(best, codes)
            assert best is not None
            lanes = np.zeros(-(-f["channels"] // size.simd) * size.simd, np.int64)
            lanes[: f["channels"]] = best[: f["channels"]]
            for fold in lanes.reshape(-1, size.simd):
                for plane in range(f["out_planes"]):
                    yield ((fold >> (2 * plane)) & 3).astype(np.uint8)


def _totals(numbers: IntArray, weights: IntArray, top: int, left: int, f: dict[str, int], size: UnitSize) -> IntArray:
    """Sums of one window, (channels,)."""
    window = np.full((f["kernel_h"], f["kernel_w"], numbers.shape[2]), f["fill"], np.int64)
    for ky in range(f["kernel_h"]):
        for kx in range(f["kernel_w"]):
            (y, y_rest) = divmod(top + ky * f["dilation_h"], 1 << f["up_h"])
            (x, x_rest) = divmod(left + kx * f["dilation_w"], 1 << f["up_w"])
            if 0 <= y < f["height"] and 0 <= x < f["width"] and (f["repeats"] or not (y_rest or x_rest)):
                window[ky, kx] = numbers[y, x]
    taps = window.reshape(-1, numbers.shape[2])
    if not f["diagonal"]:
        return np.asarray((weights * taps).sum(axis=(1, 2)))
    views = taps.reshape(len(taps), 2 if f["folds2"] else 1, -1)  # (taps, views, folds * SIMD)
    totals = []
    for channel, weight in enumerate(weights):
        fold = channel // size.simd
        seen = views[:, :, fold * size.simd : (fold + 1) * size.simd].reshape(len(taps), -1)
        totals.append((weight * seen).sum())
    return np.array(totals)


def _codes(totals: IntArray, levels: list[IntArray], f: dict[str, int], size: UnitSize) -> IntArray:
    """What the search finds; sums without one, two's complement."""
    mask, sign = (1 << size.acc_bits) - 1, 1 << (size.acc_bits - 1)
    first = levels[0][:, 0]
    if not f["bits"]:
        return (totals + first) & mask
    falls = (first >> size.acc_bits) & 1
    found = np.zeros(len(totals), np.int64)
    for level in levels:
        breakpoint_ = level[np.arange(len(found)), found] & mask
        found = 2 * found + (totals >= (breakpoint_ ^ sign) - sign)
    return np.asarray(np.where(falls, (1 << f["bits"]) - 1 - found, found))
