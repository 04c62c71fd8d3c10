# SPDX-License-Identifier: Apache-2.0
"""Give a program of any size the one size that a circuit is built for."""

from __future__ import annotations

from bitlens.fpga.network import FpgaError
from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError
from bitlens.graph.ops import describe_outputs

__all__ = ["fix_size"]


def fix_size(program: Program, size: tuple[int, int]) -> Program:
    """The same program for inputs of height and width `size`.

    Raises:
        FpgaError: the input has another size already, the size is no multiple of what it asks for, or an op cannot have it.
    """
    graph = program.graph.copy()
    for name in graph.inputs:
        value = graph.value(name)
        assert value.shape is not None
        height, width = size
        if any(old not in (None, new) for old, new in zip(value.shape[:2], size, strict=True)):
            fixed = "x".join("any" if old is None else str(old) for old in value.shape[:2])
            raise FpgaError(f"{name}: size must be the program's, {fixed}, not {height}x{width}; give that size")
        if height % value.multiples[0] or width % value.multiples[1]:
            rule = f"{value.multiples[0]}x{value.multiples[1]}"
            raise FpgaError(f"{name}: height and width must be multiples of {rule}, not {height}x{width}")
        graph.values[name] = value.with_(shape=(height, width, value.shape[2]))
    for node in graph:
        try:
            shape, _ = describe_outputs(graph, node)
        except GraphError as error:
            raise FpgaError(f"{error}; give another size") from error
        graph.values[node.output] = graph.value(node.output).with_(shape=shape)
    return Program(graph)
