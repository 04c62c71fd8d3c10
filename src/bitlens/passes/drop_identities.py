# SPDX-License-Identifier: Apache-2.0
"""Remove tables that give back every integer they get: a second quantizer like the first."""

from __future__ import annotations

import numpy as np

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node
from bitlens.graph.interpret import run_node
from bitlens.graph.rewrite import bypass

__all__ = ["drop_identities"]


def drop_identities(graph: Graph) -> None:
    """Let readers of such a table read its operand. Units differ at most in name: every reader is integer by now."""
    for node in [*graph.nodes]:
        if node.op in ("steps", "rescale") and node.output not in graph.outputs:
            grid, result = (graph.value(tensor).grid for tensor in (node.inputs[0], node.output))
            assert grid is not None
            assert result is not None
            if result.lo <= grid.lo and grid.hi <= result.hi and _gives_back(node, grid):
                bypass(graph, node)


def _gives_back(node: Node, grid: Grid) -> bool:
    rows = len(node.attrs["values" if node.op == "steps" else "multiplier"])
    integers = np.broadcast_to(grid.values()[:, None], (grid.levels, rows))
    return bool(np.array_equal(run_node(node, [integers[:, None, None]])[:, 0, 0], integers))
