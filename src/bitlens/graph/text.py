# SPDX-License-Identifier: Apache-2.0
"""A graph as text, one line a node, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitlens.graph.graph import Graph, Node, Value

__all__ = ["describe_changes", "describe_nodes"]

_MOST_NUMBERS = 8


def describe_nodes(graph: Graph) -> dict[str, str]:
    """Return a line for every node by its name, in order: operator, attributes, operands, result with shape, grid and scale."""
    return {node.name: _line(graph, node) for node in graph.nodes}


def describe_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return lines that begin with "-" for nodes that are gone, "+" for new ones, "~" for those that read otherwise.

    Args:
        before, after: as `describe_nodes` returns them.
    """
    lines = [f"- {name}: {text}" for name, text in before.items() if name not in after]
    for name, text in after.items():
        if name not in before:
            lines.append(f"+ {name}: {text}")
        elif before[name] != text:
            lines.append(f"~ {name}: {text}")
    return lines


def _line(graph: Graph, node: Node) -> str:
    attrs = ", ".join(f"{key}={_short(value)}" for key, value in node.attrs.items() if value is not None)
    operands = ", ".join(tensor or "-" for tensor in node.inputs)
    results = ", ".join(_tensor(graph.value(tensor)) for tensor in node.outputs)
    return f"{node.op}({operands}){' {' + attrs + '}' if attrs else ''} -> {results}"


def _tensor(value: Value) -> str:
    shape = "?" if value.shape is None else "x".join("?" if size is None else str(size) for size in value.shape)
    if value.grid is None:
        return f"{value.name} [{shape}] real"
    return f"{value.name} [{shape}] {value.grid} of {_short(value.scale)}"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        if value.size <= _MOST_NUMBERS and value.ndim < 2:
            return " ".join(f"{number:.6g}" for number in value.reshape(-1).tolist())
        shape = "x".join(map(str, value.shape))
        return f"<{shape} of {value.min():.6g}..{value.max():.6g}>"
    if hasattr(value, "real") and isinstance(value.real, np.ndarray):
        return _short(value.real)
    if isinstance(value, tuple) and value and hasattr(value[0], "__dataclass_fields__"):
        return " then ".join(type(part).__name__ for part in value)
    return str(value)
