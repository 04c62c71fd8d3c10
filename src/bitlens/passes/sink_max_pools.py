# SPDX-License-Identifier: Apache-2.0
"""Take max pools of real values to integers: behind the quantizer where it commutes, else in front of the chain.

    max(f(x)) = f(max(x))   for f rising;   max(f(x)) = f(-max(-x))   for f falling

Behind the quantizer the pool works on codes of a few bits, so that is tried first. In front, it works on accumulators,
and a channel whose chain falls has the signs of its weights turned.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.reference import (
    Abs,
    Add,
    BatchNorm,
    Chain,
    Clip,
    Count,
    Divide,
    LeakyRelu,
    Multiply,
    Operator,
    Quantize,
    Relu,
    Round,
    Sign,
    ends_in_codes,
    is_monotone,
)
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError
from bitlens.passes.fuse_chains import fuse_chains

__all__ = ["sink_max_pools", "slope_signs"]

_SUMS = ("add", "conv", "sum_pool")


def sink_max_pools(graph: Graph) -> None:
    """Leave no max pool that reads real values, nor one of sums where codes would do.

    Raises:
        CompileError: the chain in front neither rises nor falls, or its weights cannot change sign.
    """
    while True:
        pools = [node for node in graph if node.op == "max_pool"]
        free = next((pool for pool in pools if _commutes(graph, pool)), None)
        real = next((pool for pool in pools if graph.value(pool.inputs[0]).grid is None), None)
        if free is not None:
            _move_behind(graph, free, graph.consumers(free.output))
        elif real is not None:
            _move_in_front(graph, real)
        else:
            return


def _commutes(graph: Graph, pool: Node) -> bool:
    """Whether a pool reads real values or sums, and all that is made of its result are codes that rise with it."""
    value, producer = graph.value(pool.inputs[0]), graph.producer(pool.inputs[0])
    while producer is not None and producer.op == "max_pool":
        producer = graph.producer(producer.inputs[0])
    sums = producer is not None and producer.op in _SUMS and bool(np.all(value.scale > 0))
    readers = graph.consumers(pool.output)
    rising = all(node.op == "chain" and _ends_rising(node.attrs["chain"]) for node in readers)
    return (value.grid is None or sums) and bool(readers) and rising and pool.output not in graph.outputs


def slope_signs(operator: Operator) -> npt.NDArray[np.float64] | None:
    """+1 where an operator rises, -1 where it falls, 0 where it is constant, per channel or (); None where it turns back."""
    match operator:
        case Multiply(values) | Divide(values):
            return np.asarray(np.sign(values), np.float64)
        case BatchNorm():
            return np.asarray(np.sign(operator.affine()[0]), np.float64)
        case LeakyRelu(slope):
            return np.ones(()) if np.all(np.asarray(slope) >= 0) else None
        case Add() | Clip() | Relu() | Round() | Sign() | Quantize() | Count():
            return np.ones(())
        case Abs():
            return None
    return None  # sigmoid and tanh are not proven monotone in this arithmetic


def _signs(chain: Chain) -> npt.NDArray[np.float64] | None:
    total = np.ones(())
    for operator in chain:
        signs = slope_signs(operator)
        if signs is None:
            return None
        total = total * signs
    return total


def _ends_rising(chain: Chain) -> bool:
    signs = _signs(chain)
    quantized = ends_in_codes(chain)
    return quantized and signs is not None and is_monotone(chain) and bool(np.all(signs >= 0))


def _move_behind(graph: Graph, pool: Node, chains: list[Node]) -> None:
    """X -> pool -> chain becomes x -> chain -> pool, once for each chain; the pool takes the chain's name for its result."""
    source = pool.inputs[0]
    graph.nodes = [node for node in graph.nodes if node is not pool]
    for chain in chains:
        result, value = chain.output, graph.value(chain.output)
        codes = fresh_tensor(graph, f"{result}.codes")
        graph.values[codes] = value.with_(name=codes, shape=graph.value(source).shape)
        chain.inputs, chain.outputs = [source], [codes]
        moved = Node("max_pool", fresh_node(graph, pool.name), [codes], [result], {**pool.attrs})
        graph.nodes.insert(graph.nodes.index(chain) + 1, moved)
    fuse_chains(graph)


def _move_in_front(graph: Graph, pool: Node) -> None:
    """X -> chain -> pool becomes x -> pool -> chain."""
    chain = graph.producer(pool.inputs[0])
    if chain is None or chain.op != "chain":
        raise CompileError(
            f"{pool.name}: input must be quantized, not real ({pool.inputs[0]}); put a quantizer before the pool"
        )
    signs = _signs(chain.attrs["chain"])
    if signs is None:
        raise CompileError(
            f"{pool.name}: what stands between the sum and the max pool must rise or fall, not turn back; "
            "pool before the activation, or quantize before the pool"
        )
    scale = np.sign(graph.value(chain.inputs[0]).scale).astype(np.float64)
    source = chain.inputs[0]
    if np.any(signs * scale < 0):
        source = _turn(graph, pool, chain, signs * scale < 0)
    pooled = fresh_tensor(graph, f"{source}.pooled")
    result = pool.output
    graph.values[pooled] = graph.value(source).with_(name=pooled, shape=graph.value(result).shape)
    front = Node("max_pool", pool.name, [source], [pooled], pool.attrs)
    copy = Node("chain", fresh_node(graph, f"{chain.name}.{pool.name}"), [pooled], [result], {**chain.attrs})
    graph.nodes[graph.nodes.index(pool)] = front
    graph.nodes.insert(graph.nodes.index(front) + 1, copy)
    fuse_chains(graph)


def _turn(graph: Graph, pool: Node, chain: Node, falls: npt.NDArray[np.bool_]) -> str:
    """A tensor of the sums whose falling channels have the opposite sign, and a negative unit."""
    conv = graph.producer(chain.inputs[0])
    if conv is None or conv.op != "conv":
        raise CompileError(
            f"{pool.name}: what is pooled must rise with the sum in every channel, not fall; "
            "put a convolution or a quantizer in front, or make the batch norm's slopes positive"
        )
    weights = conv.attrs["weights"]
    falls = np.broadcast_to(falls, len(weights))
    turned = np.where(falls.reshape(-1, *[1] * (weights.ndim - 1)), -weights, weights)
    if not conv.attrs["weight_grid"].contains(turned):
        raise CompileError(
            f"{conv.name}: weights of channels with a falling slope must be on {conv.attrs['weight_grid']} with either sign, "
            "for the max pool behind; use narrow weights"
        )
    bias = conv.attrs["bias"]
    attrs = {**conv.attrs, "weights": turned, "bias": None if bias is None else np.where(falls, -bias, bias)}
    readers = graph.consumers(conv.output)
    value = graph.value(conv.output)
    scale = np.asarray(np.where(falls, -value.scale, value.scale), np.float32)
    grid = value.grid
    assert grid is not None
    reach = max(-grid.lo, grid.hi)
    span = type(grid).span(-reach, reach)
    if readers == [chain] and conv.output not in graph.outputs:
        conv.attrs = attrs
        graph.values[conv.output] = value.with_(scale=scale, grid=span)
        return conv.output
    name = fresh_tensor(graph, f"{conv.output}.turned")
    graph.values[name] = value.with_(name=name, scale=scale, grid=span)
    copy = Node("conv", fresh_node(graph, f"{conv.name}.turned"), [*conv.inputs], [name], attrs)
    graph.nodes.insert(graph.nodes.index(conv) + 1, copy)
    return name
