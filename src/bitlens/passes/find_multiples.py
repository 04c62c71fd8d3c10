# SPDX-License-Identifier: Apache-2.0
"""Find which heights and widths a net of symbolic size can take.

Where a map is halved and later enlarged beside the larger one (skip joins), only multiples of the whole reduction fit.
"""

from __future__ import annotations

from bitlens.graph.graph import Graph
from bitlens.graph.ops import INTEGER_OPS, Shape
from bitlens.graph.spec import CompileError

__all__ = ["find_multiples"]

_MOST = 64
_LEAST_SIZE, _TRIED = 256, 8  # so many sizes from there on are tried for each multiple


def find_multiples(graph: Graph) -> None:
    """Set the smallest multiples of height and width at which all operands of every node fit.

    Args:
        graph: at the integer stage; several inputs share one symbolic size.

    Raises:
        CompileError: no multiple up to 64 fits.
    """
    if all(None not in (graph.value(name).shape or ()) for name in graph.inputs):
        return
    both = next((m for m in range(1, _MOST + 1) if _fits(graph, (m, m))), None)
    if both is None:
        raise CompileError(
            f"{graph.inputs[0]}: height and width must fit the net at multiples of 1 to {_MOST}; export with a fixed size"
        )
    divisors = [m for m in range(1, both + 1) if both % m == 0]
    height = next(m for m in divisors if _fits(graph, (m, both)))
    width = next(m for m in divisors if _fits(graph, (both, m)))
    for name in graph.inputs:
        value = graph.value(name)
        shape = value.shape or ()
        graph.values[name] = value.with_(multiples=(1 if shape[0] else height, 1 if shape[1] else width))


def _fits(graph: Graph, multiples: tuple[int, int]) -> bool:
    first = [-(-_LEAST_SIZE // m) for m in multiples]
    return all(_fits_size(graph, (multiples[0] * (first[0] + i), multiples[1] * (first[1] + i))) for i in range(_TRIED))


def _fits_size(graph: Graph, size: tuple[int, int]) -> bool:
    shapes: dict[str, Shape] = {}
    for name in graph.inputs:
        height, width, channels = graph.value(name).shape or ()
        shapes[name] = (height or size[0], width or size[1], channels or 1)
    for node in graph.nodes:
        try:
            shapes[node.output] = INTEGER_OPS[node.op].shape([shapes[name] for name in node.inputs], node.attrs)
        except ValueError:
            return False
    return True
