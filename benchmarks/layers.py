# SPDX-License-Identifier: Apache-2.0
"""One layer, many times over: as an integer program of ours and as nets of ONNX Runtime.

A layer whose output can be its own input is put in a chain; any other stands `count` times beside itself on one input, each
copy read by a tiny 1x1 convolution. What a single layer costs inside a network is then (long net - short net) / (long count -
short count): loading images, reading results and calls cancel out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import describe_outputs, window_attrs

__all__ = ["Layer", "Precision", "float_net", "int8_net", "our_net"]


@dataclass(frozen=True)
class Layer:
    """A convolution on a square map, padded by half its kernel; `depthwise` has one group a channel."""

    size: int
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False

    @property
    def chained(self) -> bool:
        return self.inputs == self.outputs and self.stride == 1

    @property
    def macs(self) -> float:
        out = (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1
        return out * out * self.outputs * (1 if self.depthwise else self.inputs) * self.kernel**2

    def __str__(self) -> str:
        kind = "depthwise " if self.depthwise else ""
        return f"{kind}{self.kernel}x{self.kernel}/{self.stride} {self.inputs}->{self.outputs} {self.size}x{self.size}"


@dataclass(frozen=True)
class Precision:
    """Weight and activation grids of a row, such as w1a2: odd 1 and unsigned 2."""

    name: str
    weights: Grid
    activations: Grid


class _Builder:
    """Adds ops to a graph of ours; each method returns the new tensor's name."""

    def __init__(self, layer: Layer, grid: Grid) -> None:
        self.rng = np.random.default_rng(0)
        self.graph = Graph(inputs=["x"], values={"x": Value("x", (layer.size, layer.size, layer.inputs), grid)})

    def op(self, op: str, x: str, grid: Grid | None = None, **attrs: Any) -> str:
        name = f"{op}{len(self.graph.nodes)}"
        node = Node(op, name, [x], [name], attrs)
        shape, (lo, hi) = describe_outputs(self.graph, node)
        self.graph.values[name] = Value(name, shape, grid or Grid.span(lo, hi))
        self.graph.nodes.append(node)
        return name

    def conv(self, x: str, outputs: int, grid: Grid, kernel: int, stride: int, groups: int = 1) -> str:
        shape = self.graph.value(x).shape
        assert shape is not None
        channels = (shape[2] or 1) // groups
        weights = grid.decode(self.rng.integers(0, grid.levels, (outputs, kernel, kernel, channels))).astype(np.int32)
        window = window_attrs((kernel, kernel), (stride, stride), (kernel // 2,) * 4)
        return self.op("conv", x, **window, groups=groups, weights=weights, weight_grid=grid, bias=None)

    def requantize(self, x: str, grid: Grid) -> str:
        value = self.graph.value(x)
        assert value.grid is not None
        assert value.shape is not None
        channels = value.shape[2] or 1
        middle, spread = (value.grid.lo + value.grid.hi) / 2, max(1, (value.grid.hi - value.grid.lo) / 32)
        if grid.levels <= 16:
            at = middle + spread * np.linspace(-1, 1, grid.levels - 1)
            breakpoints = np.tile(np.rint(at).astype(np.int64), (channels, 1))
            values = np.tile(grid.values(), (channels, 1))
            return self.op("steps", x, grid=grid, breakpoints=breakpoints, values=values)
        multiplier = np.full(channels, max(1, round(grid.levels / (2 * spread) * (1 << 20))))
        addend = np.full(channels, round((grid.lo + grid.hi) / 2 - middle * float(multiplier[0]) / (1 << 20)) << 20)
        shift = np.full(channels, 20)
        return self.op(
            "rescale", x, grid=grid, multiplier=multiplier, addend=addend, shift=shift, lo=grid.lo, hi=grid.hi
        )


def our_net(layer: Layer, precision: Precision, count: int) -> Program:
    """The layer `count` times, each with its requantization."""
    builder = _Builder(layer, precision.activations)
    groups = layer.inputs if layer.depthwise else 1

    def once(x: str) -> str:
        sums = builder.conv(x, layer.outputs, precision.weights, layer.kernel, layer.stride, groups)
        return builder.requantize(sums, precision.activations)

    if layer.chained:
        x = "x"
        for _ in range(count):
            x = once(x)
        ends = [x]
    else:
        ends = [once("x") for _ in range(count)]
    tails = [builder.conv(end, 1, Grid.odd(1), 1, 64) for end in ends]
    builder.graph.outputs = tails
    return Program(builder.graph)


class _OnnxNet:
    """Nodes and constants of an ONNX model in the making."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, *inputs: str, **attrs: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [*inputs], [name], **attrs))
        return name

    def model(self, layer: Layer, element: int, outputs: list[str]) -> bytes:
        shape = [1, layer.inputs, layer.size, layer.size]
        graph = helper.make_graph(
            self.nodes,
            "layers",
            [helper.make_tensor_value_info("x", element, shape)],
            [helper.make_tensor_value_info(name, element, None) for name in outputs],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def _stack(layer: Layer, count: int, once: Any) -> list[str]:
    if not layer.chained:
        return [once("x") for _ in range(count)]
    x = "x"
    for _ in range(count):
        x = once(x)
    return [x]


def int8_net(layer: Layer, count: int) -> bytes:
    """QLinearConv with uint8 activations and int8 weights per channel, `count` times."""
    net = _OnnxNet()
    zero, one = net.constant(np.uint8(0)), net.constant(np.float32(0.05))

    def conv(x: str, outputs: int, inputs: int, kernel: int, stride: int, groups: int) -> str:
        weights = net.rng.integers(-127, 128, (outputs, inputs // groups, kernel, kernel)).astype(np.int8)
        scales = net.rng.uniform(0.001, 0.002, outputs).astype(np.float32)
        constants = [net.constant(weights), net.constant(scales), net.constant(np.zeros(outputs, np.int8)), one, zero]
        bias = net.constant(net.rng.integers(-100, 100, outputs).astype(np.int32))
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        return net.node("QLinearConv", x, one, zero, *constants, bias, **window)

    groups = layer.inputs if layer.depthwise else 1
    ends = _stack(layer, count, lambda x: conv(x, layer.outputs, layer.inputs, layer.kernel, layer.stride, groups))
    return net.model(layer, TensorProto.UINT8, [conv(end, 1, layer.outputs, 1, 64, 1) for end in ends])


def float_net(layer: Layer, count: int) -> bytes:
    """Float32 Conv and Relu, `count` times."""
    net = _OnnxNet()

    def conv(x: str, outputs: int, inputs: int, kernel: int, stride: int, groups: int) -> str:
        weights = net.rng.normal(0, 0.01, (outputs, inputs // groups, kernel, kernel)).astype(np.float32)
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        return net.node("Conv", x, net.constant(weights), net.constant(np.zeros(outputs, np.float32)), **window)

    groups = layer.inputs if layer.depthwise else 1
    ends = _stack(
        layer,
        count,
        lambda x: net.node("Relu", conv(x, layer.outputs, layer.inputs, layer.kernel, layer.stride, groups)),
    )
    return net.model(layer, TensorProto.FLOAT, [conv(end, 1, layer.outputs, 1, 64, 1) for end in ends])
