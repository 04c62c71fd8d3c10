# SPDX-License-Identifier: Apache-2.0
"""The codes of ONNX's own quantization: q = saturate(rint(x / scale) + zero_point), x = (q - zero_point) * scale.

Integers of this compiler have no zero point: they are n = q - zero_point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Node
from bitlens.graph.spec import CompileError

__all__ = ["along_axis", "code_range", "whole_zero_point"]

_RANGES = {
    np.dtype(kind): (int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for kind in ("i1", "u1", "i2", "u2", "i4")
}


def code_range(node: Node, zero_point: npt.NDArray[Any] | None) -> tuple[int, int]:
    """Return the smallest and largest code of a quantizer; its zero point's type tells.

    Raises:
        CompileError: the type is none of 8 or 16 bits.
    """
    if zero_point is None:
        if node.attrs.get("output_dtype", 0) not in (0, 2):
            raise CompileError(
                f"{node.name}: output_dtype must come with a zero point of that type; write it into the file"
            )
        return 0, 255
    kind = np.dtype(zero_point.dtype)
    if kind not in _RANGES or kind == np.dtype("i4"):
        raise CompileError(
            f"{node.name}: zero point must be an integer of 8 or 16 bits, not {kind}; quantize to 8 bits"
        )
    return _RANGES[kind]


def whole_zero_point(node: Node, zero_point: npt.NDArray[Any] | None) -> int:
    """Return the one zero point of a tensor, 0 where it is left out.

    Raises:
        CompileError: it differs from channel to channel.
    """
    if zero_point is None or zero_point.size == 0:
        return 0
    if zero_point.min() != zero_point.max():
        raise CompileError(f"{node.name}: zero point must be one number, not one per channel; quantize symmetrically")
    return int(zero_point.flat[0])


def along_axis(attrs: Mapping[str, Any], array: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    """Shape numbers of one axis to meet a tensor of this rank; one number stays one."""
    if array.size == 1:
        return array.reshape(())
    axis = attrs.get("axis", 1) % max(rank, 1)
    return array.reshape([-1 if i == axis else 1 for i in range(rank)])
