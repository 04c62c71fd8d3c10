# SPDX-License-Identifier: Apache-2.0
"""Runs a graph at the imported stage in reference arithmetic: slow, obvious, in the model's own order of axes.

It knows nothing of the passes, so the compiler compares its result with this one. Each tensor carries its real values and,
where a quantizer made it, the integers and their unit. Products and sums of integers are exact; the exact sum is rounded once
to float32 and multiplied by the float32 product of the units; all else is one float32 operation after the other.

N batch, C channels, H height, W width; O output channels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from bitlens.graph.execute.arithmetic import ARITHMETIC
from bitlens.graph.execute.codes import CODES
from bitlens.graph.execute.elementwise import ELEMENTWISE
from bitlens.graph.execute.floats import FLOATS
from bitlens.graph.execute.places import PLACES
from bitlens.graph.execute.products import PRODUCTS
from bitlens.graph.execute.tensor import Array, Rule, Tensor, across_channels
from bitlens.graph.execute.windows import WINDOWS
from bitlens.graph.graph import Graph, Node
from bitlens.graph.quantizer import Quantizer, read_quantizer
from bitlens.graph.spec import CompileError

__all__ = ["Tensor", "can_execute", "execute", "execute_node"]

_QUANTIZERS = ("Quant", "BipolarQuant")
_RULES: dict[str, Rule] = {**PRODUCTS, **CODES, **WINDOWS, **ARITHMETIC, **ELEMENTWISE, **PLACES}
_FLOAT_RULES: dict[str, Rule] = {**_RULES, **FLOATS}


def execute(
    graph: Graph, inputs: Mapping[str, Array], *, floats: bool = False, keep: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Run a graph.

    Args:
        graph: at the imported stage.
        inputs: float32 arrays in the model's order of axes, by input name; integers for inputs that have a grid.
        floats: run products and means of real values too, as float islands do; otherwise they are refused.
        keep: names of tensors to return, the others are forgotten once they are used; None: all.

    Returns:
        Tensors by name, constants left out.

    Raises:
        CompileError: a node cannot be run; the sentence names it.
    """
    tensors = {name: replace(_constant(graph, name), constant=True) for name in graph.constants}
    for name in graph.inputs:
        value = graph.value(name)
        given = np.asarray(inputs[name])
        tensors[name] = Tensor(given.astype(np.float32))
        if value.grid is not None:
            tensors[name] = Tensor.quantized(given.astype(np.int64), across_channels(value.scale, given.ndim))
    rules = _FLOAT_RULES if floats else _RULES
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        tensors[node.outputs[0]] = execute_node(graph, node, [tensors.get(name) for name in node.inputs], rules)
        if keep is not None:
            for name in (*node.inputs, node.outputs[0]):
                if last_use.get(name, i) <= i and name not in keep:
                    tensors.pop(name, None)
    return {name: tensor for name, tensor in tensors.items() if name not in graph.constants}


def _constant(graph: Graph, name: str) -> Tensor:
    value, array = graph.value(name), graph.constants[name]
    return Tensor(array) if value.grid is None else Tensor.quantized(array, value.scale)


def can_execute(op: str) -> bool:
    """Whether reference arithmetic has a rule for an operator, floats among its operands or not."""
    return op in _FLOAT_RULES or op in _QUANTIZERS


def execute_node(graph: Graph, node: Node, operands: list[Tensor | None], rules: Mapping[str, Rule] = _RULES) -> Tensor:
    """Run one operator; None stands for an input left out.

    Raises:
        CompileError: the operator has no rule here, or its operands do not fit each other.
    """
    quantizer = read_quantizer(graph, node) if node.op in _QUANTIZERS else None
    if quantizer is None and node.op not in rules:
        raise CompileError(f"{node.name}: operator must be one that reference arithmetic knows, not {node.op}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it meets a quantizer or an output
            if quantizer is not None:
                return _quantize(node, quantizer, operands)
            return rules[node.op](node, _exact(operands) if node.op in FLOATS else operands)
    except CompileError:
        raise
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        shapes = ", ".join("none" if x is None else str(x.real.shape) for x in operands)
        raise CompileError(f"{node.name}: inputs of {node.op} must fit each other, not {shapes}") from error


def _exact(operands: list[Tensor | None]) -> list[Tensor | None]:
    """Operands as integers, where they are some; others are refused by the rule."""
    return [None if x is None else (x.exact or x) for x in operands]


def _quantize(node: Node, quantizer: Quantizer, operands: list[Tensor | None]) -> Tensor:
    x = operands[0]
    assert x is not None
    if np.broadcast_shapes(*(operand.real.shape for operand in operands if operand is not None)) != x.real.shape:
        raise ValueError("parameters must not enlarge the tensor")
    if not np.all(np.isfinite(x.real)):
        raise CompileError(f"{node.name}: numbers to quantize must be finite, not inf or nan; repair the model")
    return Tensor.quantized(quantizer.integers(x.real), quantizer.unit)
