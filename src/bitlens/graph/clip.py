# SPDX-License-Identifier: Apache-2.0
"""The limits of a Clip operator."""

from __future__ import annotations

import numpy as np

from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import CompileError

__all__ = ["clip_limits"]


def clip_limits(graph: Graph, node: Node) -> tuple[float, float]:
    """Return the lower and the upper limit, float32; infinite where one is left out.

    Raises:
        CompileError: a limit is computed, nan, or the lower one above the upper one.
    """
    limits = [-np.inf, np.inf]
    for side, tensor in enumerate(node.inputs[1:3]):
        if not tensor:
            continue
        if tensor not in graph.constants or graph.constants[tensor].size != 1:
            raise CompileError(
                f"{node.name}: limit {tensor} must be one constant number, not computed; write it as a constant"
            )
        limits[side] = float(np.float32(graph.constants[tensor].reshape(-1)[0]))
    if not limits[0] <= limits[1]:  # also catches nan
        raise CompileError(
            f"{node.name}: lower limit must be at most the upper limit, not {limits[0]:g} and {limits[1]:g}"
        )
    return limits[0], limits[1]
