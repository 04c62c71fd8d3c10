# SPDX-License-Identifier: Apache-2.0
"""Order the axes as integer programs have them: (height, width, channels), weights (O, kh, kw, C/groups)."""

from __future__ import annotations

import numpy as np

from bitlens.graph.graph import Graph
from bitlens.graph.spec import CompileError

__all__ = ["move_channels_last"]


def move_channels_last(graph: Graph) -> dict[str, str]:
    """Turn (N, C, H, W) and (N, C) into (H, W, C), and name every tensor after its node.

    Returns:
        The new name of each tensor by its old one.

    Raises:
        CompileError: a tensor has another rank.
    """
    for name, value in graph.values.items():
        shape = value.shape or ()
        if len(shape) not in (1, 2, 4):
            raise CompileError(f"{name}: shape must be (N, C, H, W), (N, C) or (N,), not {shape}; export the model so")
        height, width = shape[2:] if len(shape) == 4 else (1, 1)
        graph.values[name] = value.with_(shape=(height, width, shape[1] if len(shape) > 1 else 1))
    for node in graph.nodes:
        if node.op == "conv":
            weights = node.attrs["weights"]  # (O, C/g, kh, kw)
            node.attrs["weights"] = np.ascontiguousarray(weights.transpose(0, 2, 3, 1)).astype(np.int32)
    return _name_tensors(graph)


def _name_tensors(graph: Graph) -> dict[str, str]:
    """A file stores one name for a node and its result; inputs and outputs keep theirs."""
    ends = {graph.output_names.get(name, name): name for name in graph.outputs}  # tensors by the names users see
    taken = {*graph.inputs}
    names = {name: name for name in graph.inputs}
    for node in graph.nodes:
        name, count = node.name, 2
        while name in taken or ends.get(name, node.output) != node.output:
            name, count = f"{node.name}.{count}", count + 1
        taken.add(name)
        names[node.output] = node.name = name
    users = {names[name]: graph.output_names.get(name, name) for name in graph.outputs}
    for node in graph.nodes:
        node.inputs = [names[name] for name in node.inputs]
        node.outputs = [names[node.output]]
    graph.values = {names[name]: value.with_(name=names[name]) for name, value in graph.values.items() if name in names}
    graph.outputs = [names[name] for name in graph.outputs]
    graph.output_names = users
    return names
