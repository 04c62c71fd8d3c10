# SPDX-License-Identifier: Apache-2.0
"""What a MultiThreshold operator yields: out_bias + out_scale * count, as integers.

A bias of whole units shifts the count; half of an odd number of units doubles it, which is an odd grid. Both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Node
from bitlens.graph.spec import CompileError

__all__ = ["CountCodes", "count_codes", "threshold_layout"]


@dataclass(frozen=True)
class CountCodes:
    """The integer of a count: factor * count + shift, real value of one integer `unit` (float32, scalar)."""

    factor: int
    shift: int
    unit: npt.NDArray[np.float32]


def count_codes(node: Node) -> CountCodes:
    """Read out_scale and out_bias of a MultiThreshold.

    Raises:
        CompileError: the bias is not the float32 number next to a multiple of half a positive scale.
    """
    scale, bias = float(node.attrs["out_scale"]), float(node.attrs["out_bias"])
    usable = np.isfinite(bias) and np.isfinite(scale) and scale > 0
    halves = round(2 * bias / scale) if usable else 0
    if not usable or np.float32(halves * scale / 2) != np.float32(bias):
        raise CompileError(
            f"{node.name}: out_bias must be a multiple of half a positive out_scale, not {bias:g} of {scale:g}"
        )
    factor = 2 if halves % 2 else 1
    unit = np.asarray(np.float32(scale) / np.float32(factor))
    return CountCodes(factor, halves if factor == 2 else halves // 2, unit)


def threshold_layout(node: Node, rank: int) -> str:
    """Return the order of axes of a MultiThreshold's operand; where none is written the rank decides, as in QONNX."""
    return node.attrs["data_layout"] or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
