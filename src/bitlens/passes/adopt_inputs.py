# SPDX-License-Identifier: Apache-2.0
"""Let the program begin with integers: an input takes over the grid of the quantizer it goes into."""

from __future__ import annotations

import numpy as np

from bitlens.core.reference import Quantize
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import replace_tensor
from bitlens.graph.spec import CompileError

__all__ = ["adopt_inputs"]


def adopt_inputs(graph: Graph) -> None:
    """Give every real input the grid and scale of its quantizer, and remove the quantizer.

    Raises:
        CompileError: an input goes into something else than one quantizer.
    """
    for name in graph.inputs:
        if graph.value(name).grid is not None:
            continue
        consumers = graph.consumers(name)
        if len(consumers) != 1 or not _is_quantizer(consumers[0]) or name in graph.outputs:
            readers = ", ".join(node.name for node in consumers) or "nothing"
            raise CompileError(
                f"{name}: input must go into one quantizer, not into {readers}; "
                "quantize it first, 8 bits unsigned with scale 1/255 for images"
            )
        (node,) = consumers
        value, quantizer = graph.value(node.output), node.attrs["chain"][0]
        if not np.array_equal(quantizer.scale / np.float32(node.attrs["factor"]), value.scale):
            # its integers are read in another unit: the table that gives them back names it, until tables are dropped
            scale = np.asarray(quantizer.scale, np.float32)
            graph.values[name] = graph.value(name).with_(grid=value.grid, scale=scale, rounding=_rounding(quantizer))
            continue
        graph.values[name] = graph.value(name).with_(grid=value.grid, scale=value.scale, rounding=_rounding(quantizer))
        graph.nodes = [other for other in graph.nodes if other is not node]
        replace_tensor(graph, node.output, name)


def _is_quantizer(node: Node) -> bool:
    return node.op == "chain" and len(node.attrs["chain"]) == 1 and isinstance(node.attrs["chain"][0], Quantize)


def _rounding(quantizer: Quantize) -> str:
    """How users' real values are rounded, as the model's quantizer does; a sign is the nearest of -1 and 1."""
    return {"SIGN": "NEAREST", "HALF_EVEN": "ROUND"}.get(quantizer.rounding, quantizer.rounding)
