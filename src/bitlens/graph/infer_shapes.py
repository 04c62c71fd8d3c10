# SPDX-License-Identifier: Apache-2.0
"""Find the shape of every tensor, batch free, height and width possibly symbolic.

Files often compute a shape inside the graph (Shape, Gather, Concat, then Reshape), so whole-number vectors are followed too.
"""

from __future__ import annotations

from bitlens.graph.graph import Graph
from bitlens.graph.shape_contents import CONTENT_RULES, Known, Shape, check_numbers
from bitlens.graph.shape_rules import SHAPE_RULES, keep_shape
from bitlens.graph.spec import CompileError

__all__ = ["infer_shapes"]

_MOST_AXES = 64


def infer_shapes(graph: Graph) -> None:
    """Set the shape of every tensor, in the model's own order of axes.

    Raises:
        CompileError: operands do not fit, or a shape depends on the data.
    """
    known = Known(graph)
    for name, array in graph.constants.items():
        graph.values[name] = graph.value(name).with_(shape=array.shape)
    for name in graph.inputs:
        try:
            check_numbers(graph.value(name).shape or ())
        except ValueError as error:
            raise CompileError(f"{name}: {error}") from error
    for node in graph.nodes:
        try:
            if node.op == "Shape" or (node.op in CONTENT_RULES and known.is_content(node)):
                content = CONTENT_RULES[node.op](known, node)
                if len(content) > _MOST_AXES:
                    raise ValueError(f"a shape must have at most {_MOST_AXES} axes, not {len(content)}")
                known.contents[node.outputs[0]] = content
                shape: Shape = (len(content),)
            else:
                shape = SHAPE_RULES.get(node.op, keep_shape)(known, node)
                check_numbers(shape)
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            shapes = ", ".join(_shape_text(graph, name) for name in node.inputs)
            raise CompileError(f"{node.name}: inputs of {node.op} must fit, not {shapes}: {error}") from error
        tensor = node.outputs[0]
        graph.values[tensor] = graph.value(tensor).with_(shape=shape)


def _shape_text(graph: Graph, name: str) -> str:
    shape = graph.value(name).shape
    return str(shape) if shape is not None else name or "none"
