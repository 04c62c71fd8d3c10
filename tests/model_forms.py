# SPDX-License-Identifier: Apache-2.0
"""The same model in another form: sequences instead of maps of height 1, parts of it channels last."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["as_sequences", "partly_channels_last"]

_UNARY = ("Relu", "Abs", "Neg", "LeakyRelu", "Sigmoid", "Tanh", "Identity")
_BINARY = ("Mul", "Add", "Sub", "Div", "PRelu", "Quant", "IntQuant", "BipolarQuant")


def as_sequences(model: onnx.ModelProto) -> None:
    """(N, C, 1, L) -> (N, C, L): kernels, pads and constants lose the axis of the height."""
    del model.graph.input[0].type.tensor_type.shape.dim[2]
    for node in model.graph.node:
        for attribute in node.attribute:
            numbers = [*attribute.ints]
            if attribute.name in ("kernel_shape", "strides", "dilations", "output_padding"):
                attribute.ints[:] = numbers[1:]
            elif attribute.name == "pads":
                attribute.ints[:] = [numbers[1], numbers[3]]
            elif attribute.name == "axes":
                attribute.ints[:] = [2]
            elif attribute.name == "perm" and len(numbers) == 4:
                attribute.ints[:] = [axis - (axis > 2) for axis in numbers if axis != 2]
            elif attribute.name == "data_layout":
                node.attribute.remove(attribute)
        if node.op_type == "MultiThreshold":
            node.attribute.append(helper.make_attribute("data_layout", "NCW"))
    for tensor in model.graph.initializer:
        if len(tensor.dims) in (3, 4) and tensor.dims[-2] == 1:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.squeeze(array, -2), tensor.name))


def partly_channels_last(model: onnx.ModelProto, shapes: dict[str, int], rng: np.random.Generator) -> None:
    """Some operators act on (N, H, W, C), between two Transposes.

    Args:
        model: changed in place.
        shapes: number of axes of every tensor.
        rng: which operators.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        operands = [name for name in node.input if name not in constants]
        fits = node.op_type in (*_UNARY, *_BINARY, "Concat") and all(shapes.get(name) == 4 for name in operands)
        if not operands or not fits or rng.random() < 0.5:
            continue
        for place, name in enumerate(node.input):
            if name in constants:
                node.input[place] = _moved(graph, constants[name])
            else:
                last = f"{node.output[0]}.last{place}"
                nodes.insert(-1, helper.make_node("Transpose", [name], [last], perm=[0, 2, 3, 1]))
                node.input[place] = last
        if node.op_type == "Concat":
            node.attribute[0].i = int(rng.choice([3, -1]))
        first = node.output[0]
        node.output[0] = f"{first}.last"
        nodes.append(helper.make_node("Transpose", [node.output[0]], [first], perm=[0, 3, 1, 2]))
    del graph.node[:]
    graph.node.extend(nodes)


def _moved(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> str:
    """(C, 1, 1) -> (C,), (1, C, 1, 1) -> (1, 1, 1, C); a number stays."""
    array = numpy_helper.to_array(tensor)
    if array.size == 1:
        return str(tensor.name)
    name = f"{tensor.name}.last"
    if all(other.name != name for other in graph.initializer):
        moved = array.reshape(-1) if array.ndim == 3 else np.moveaxis(array, 1, 3)
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(moved), name))
    return name
