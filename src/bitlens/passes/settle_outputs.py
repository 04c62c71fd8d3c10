# SPDX-License-Identifier: Apache-2.0
"""End every output in integers: what scales and shifts behind the last sum becomes its scale and offset."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.bounds import ACCUMULATOR_LIMIT
from bitlens.core.grid import Grid
from bitlens.core.reference import Add, BatchNorm, Divide, Multiply, ends_in_codes
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead
from bitlens.graph.spec import CompileError

__all__ = ["settle_outputs"]

FloatArray = npt.NDArray[np.float64]


def settle_outputs(graph: Graph) -> None:
    """Remove the chains of real values in front of outputs; a quantized output stays as it is.

    A bias that is a whole multiple of the sum's unit joins the sum, so that the largest integer is the largest score; any
    other becomes the output's offset.

    Raises:
        CompileError: an output is made by something that is not scale and offset, or is an input.
    """
    for place, output in enumerate(graph.outputs):
        node = graph.producer(output)
        if node is None:
            raise CompileError(f"{output}: output must be computed, not an input; leave it out of the model")
        if node.op == "chain" and not ends_in_codes(node.attrs["chain"]):
            _settle(graph, node, place)
    drop_dead(graph)


def _settle(graph: Graph, node: Node, place: int) -> None:
    source = graph.value(node.inputs[0])
    if source.grid is None:
        raise CompileError(
            f"{node.name}: input must be integers, not real values ({source.name}); put a quantizer before it"
        )
    scale, offset = source.scale.astype(np.float64), np.zeros(())
    for operator in node.attrs["chain"]:
        match operator:
            case Multiply(values):
                scale, offset = scale * values, offset * values
            case Divide(values):
                scale, offset = scale / values, offset / values
            case Add(values):
                offset = offset + values
            case BatchNorm():
                slope, intercept = operator.affine()
                scale, offset = scale * slope, offset * slope + intercept
            case _:
                raise CompileError(
                    f"{node.name}: output must be a sum with scale and offset, not end in {type(operator).__name__}; "
                    "quantize it, or cut the model before it"
                )
    name = graph.outputs[place]
    producer = graph.producer(source.name)
    if producer is None:
        raise CompileError(f"{node.name}: output must be computed from sums, not from the input; quantize it")
    if source.name in graph.outputs:
        seen = graph.output_names.get(source.name, source.name)
        raise CompileError(
            f"{node.name}: output must have integers of its own, not those of {seen}; leave one of the two out of the model"
        )
    alone = graph.consumers(source.name) == [node]
    if alone and producer.op == "conv" and _join_bias(graph, producer, scale, offset):
        offset = np.zeros(())
    value = graph.value(source.name)
    graph.values[source.name] = value.with_(scale=_rounded(scale), offset=_rounded(offset))
    graph.outputs[place] = source.name
    graph.output_names[source.name] = graph.output_names.pop(name, name)


def _rounded(array: FloatArray) -> npt.NDArray[np.float32]:
    rounded = np.asarray(array, np.float32)
    return rounded.reshape(-1)[0] if rounded.size and np.all(rounded == rounded.flat[0]) else rounded


def _join_bias(graph: Graph, conv: Node, scale: FloatArray, offset: FloatArray) -> bool:
    """Add a bias on the accumulator's grid to the sum; tell whether it was on it."""
    if not np.any(offset) or not np.all(scale) or np.any(np.abs(offset) > np.abs(scale) * ACCUMULATOR_LIMIT):
        return False
    bias = np.rint(offset / scale)
    unit, wanted = np.asarray(scale, np.float32), np.asarray(offset, np.float32)
    if not np.array_equal(bias.astype(np.float32) * unit, np.broadcast_to(wanted, bias.shape)):
        return False
    value = graph.value(conv.output)
    assert value.grid is not None
    numbers = np.broadcast_to(bias, len(conv.attrs["weights"])).astype(np.int64)
    lo, hi = value.grid.lo + min(0, int(numbers.min())), value.grid.hi + max(0, int(numbers.max()))
    if lo < -ACCUMULATOR_LIMIT or hi > ACCUMULATOR_LIMIT:
        return False
    before = conv.attrs["bias"]
    conv.attrs["bias"] = numbers if before is None else numbers + before
    graph.values[conv.output] = value.with_(grid=Grid.span(lo, hi))
    return True
