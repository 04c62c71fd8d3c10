# SPDX-License-Identifier: Apache-2.0
"""The instruction word of a layer: its fields, in the order and width in which the circuit takes them apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bitlens.fpga.network import FpgaError

__all__ = ["DESCRIPTOR_BITS", "FIELDS", "descriptor_words", "pack_descriptor", "unpack_descriptor"]

FIELDS = (  # name and bits, the highest first; what they mean stands in rtl/unit_layer.sv and, from "last" on, unit_sequence.sv
    *((name, 32) for name in ("source1", "source2", "pitch1", "pitch2", "words1", "words2")),
    *((name, 16) for name in ("height", "width")),
    *((name, 8) for name in ("folds1", "folds2")),
    *(("up_h", 2), ("up_w", 2), ("repeats", 1), ("planes", 3), ("fill", 8)),
    *((f"{name}_{axis}", 8) for name in ("kernel", "dilation") for axis in "hw"),
    *((name, 8) for name in ("pad_top", "pad_left")),
    *((f"{name}_{axis}", 8) for name in ("step", "pool", "advance") for axis in "hw"),
    ("reach_h", 16),
    *(("digits", 3), ("twice", 1), ("gain", 16), ("offset", 32), ("diagonal", 1)),
    *(("beats", 16), ("fold_words", 16), ("slots", 8), ("row_words", 16), ("pixel_words", 16)),
    *(("out_height", 16), ("out_width", 16), ("out_folds", 8), ("channels", 16), ("groups", 16)),
    *(("bits", 4), ("out_planes", 5), ("floor", 8)),
    ("last", 1),
    *((name, 32) for name in ("weights", "weight_words", "table", "table_words", "result", "result_words")),
)
DESCRIPTOR_BITS = sum(bits for _, bits in FIELDS)
_SIGNED = ("gain", "offset")  # two's complement


def descriptor_words(simd: int) -> int:
    """Words of memory of a descriptor."""
    return -(-DESCRIPTOR_BITS // (2 * simd))


def pack_descriptor(layer: str, fields: Mapping[str, int], simd: int) -> npt.NDArray[np.uint8]:
    """The digits of a descriptor's words, uint8 (words, simd).

    Raises:
        FpgaError: a field cannot hold its number; names the layer.
    """
    number = 0
    for name, bits in FIELDS:
        value = fields[name]
        lo, hi = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if name in _SIGNED else (0, (1 << bits) - 1)
        if not lo <= value <= hi:
            raise FpgaError(f"{layer}: {name} must be {lo} to {hi} for the unit, not {value}; take --shape stream")
        number = (number << bits) | (value & ((1 << bits) - 1))
    count = descriptor_words(simd) * simd
    return np.array([(number >> (2 * i)) & 3 for i in range(count)], np.uint8).reshape(-1, simd)


def unpack_descriptor(words: npt.NDArray[np.uint8]) -> dict[str, int]:
    """The fields of a descriptor's words."""
    number = sum(int(digit) << (2 * i) for i, digit in enumerate(words.ravel()))
    fields: dict[str, int] = {}
    for name, bits in reversed(FIELDS):
        value = number & ((1 << bits) - 1)
        fields[name] = value - ((value >> (bits - 1)) << bits) if name in _SIGNED else value
        number >>= bits
    return fields
