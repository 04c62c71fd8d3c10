# SPDX-License-Identifier: Apache-2.0
"""Turn ConvTranspose, Resize, Upsample and Pad into `upsample`, with a Conv behind it where there are weights.

    ConvTranspose(x, W) = Conv(upsample(x, stride, zeros), W turned by 180 degrees), padded with d (k - 1) - pad

So a transposed convolution needs no kernel, no circuit and no arithmetic of its own.

C input channels, O output channels, g groups, k size of the kernel, d dilation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bitlens.graph.graph import Graph, Node
from bitlens.graph.resize import nearest_pixels, resize_scales
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor, insert_after
from bitlens.graph.spec import CompileError

__all__ = ["lower_upsamples"]

_ANY_SIZE = 8  # stands for a symbolic size: which pixel is nearest does not depend on it


def lower_upsamples(graph: Graph) -> None:
    """Lower every operator that spreads pixels apart, repeats them or adds a border.

    Raises:
        CompileError: weights are computed, a resize is not by whole factors and nearest pixels, a border is not of zeros.
    """
    for node in [*graph.nodes]:
        rule = _RULES.get(node.op)
        if rule is not None:
            rule(graph, node)
    drop_dead(graph)


def _conv_transpose(graph: Graph, node: Node) -> None:
    data, tensor = node.inputs[:2]
    if tensor not in graph.constants:
        raise CompileError(
            f"{node.name}: weights must be a constant, not computed ({tensor}); freeze the model before export"
        )
    weights, attrs = graph.constants[tensor], node.attrs  # (C, O/g, kh, kw)
    kernel = weights.shape[2:]
    stride, dilation, tail = attrs["strides"], attrs["dilations"], attrs["output_padding"]
    cut = attrs["pads"]
    reach = tuple(dilation[axis % 2] * (kernel[axis % 2] - 1) for axis in range(4))
    pads = tuple(r - c for r, c in zip(reach, cut, strict=True))  # of the convolution; negative ones cut
    # enlarged by its factor a map ends in stride - 1 zeros, of which `tail` are wanted
    behind = [extra - step + 1 for extra, step in zip(tail, stride, strict=True)]
    cuts = tuple(min(pad, 0) + (0, 0, *behind)[side] for side, pad in enumerate(pads))
    inserted = {"factor": stride, "repeat": 0, "pads": cuts}
    if _is_insertion(graph, tensor, attrs["group"]):
        node.op, node.inputs, node.attrs = "upsample", [data], inserted
        return
    moved = data if stride == (1, 1) and not any(cuts) else _insert(graph, node, inserted)
    node.op, node.inputs = "Conv", [moved, _turned(graph, tensor, attrs["group"]), *node.inputs[2:]]
    node.attrs = {
        "auto_pad": "NOTSET",
        "dilations": dilation,
        "group": attrs["group"],
        "kernel_shape": kernel,
        "pads": tuple(max(pad, 0) for pad in pads),
        "strides": (1, 1),
    }


def _insert(graph: Graph, node: Node, attrs: dict[str, Any]) -> str:
    """Put the zero insertion in front; return its result."""
    data, pads, factor = node.inputs[0], attrs["pads"], attrs["factor"]
    moved = fresh_tensor(graph, f"{node.name}.zeros")
    shape = graph.value(data).shape or ()
    large = tuple(
        None if size is None else size * factor[axis] + pads[axis] + pads[axis + 2]
        for axis, size in enumerate(shape[2:])
    )
    graph.values[moved] = graph.value(data).with_(name=moved, shape=(*shape[:2], *large), grid=None)
    insertion = Node("upsample", fresh_node(graph, f"{node.name}.zeros"), [data], [moved], attrs)
    insert_after(graph, graph.producer(data), insertion)
    return moved


def _is_insertion(graph: Graph, tensor: str, groups: int) -> bool:
    """Whether a kernel is a single 1 for every channel: the layer then only moves what it gets."""
    weights = graph.constants[tensor]
    return (
        graph.value(tensor).grid is None
        and weights.shape[1:] == (1, 1, 1)
        and len(weights) == groups
        and bool(np.all(weights == 1))
    )


def _turned(graph: Graph, tensor: str, groups: int) -> str:
    """The constant of the convolution: (C, O/g, kh, kw) -> (O, C/g, kh, kw), turned by 180 degrees, its unit too."""
    name = fresh_tensor(graph, f"{tensor}.turned")

    def turn(array: Any) -> Any:
        grouped = array.reshape(groups, -1, *array.shape[1:])  # (g, C/g, O/g, kh, kw)
        return np.ascontiguousarray(grouped.transpose(0, 2, 1, 3, 4).reshape(-1, *grouped.shape[1:2], *array.shape[2:]))

    value, weights = graph.value(tensor), graph.constants[tensor]
    unit = value.scale
    if unit.ndim:
        unit = turn(np.broadcast_to(unit, weights.shape))  # one number for each weight; readers look for what is alike
        unit = unit[:, :1, :1, :1] if np.all(unit == unit[:, :1, :1, :1]) else unit
    graph.constants[name] = turn(weights)[:, :, ::-1, ::-1].copy()
    graph.values[name] = value.with_(name=name, shape=graph.constants[name].shape, scale=unit)
    return name


def _resize(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    if node.attrs["mode"] != "nearest":
        raise CompileError(f"{node.name}: mode of {node.op} must be nearest, not {node.attrs['mode']}; resize outside")
    scales = resize_scales(node, shape, graph.constants)
    whole = all(scale is not None and scale == int(scale) and scale >= 1 for scale in scales[1:])
    if len(shape) != 4 or scales[0] not in (None, 1.0) or scales[1] != 1.0 or not whole:
        raise CompileError(
            f"{node.name}: {node.op} must enlarge height and width by whole factors, not {shape} by {scales}; "
            "export with constant whole scales"
        )
    factors = (int(scales[2] or 0), int(scales[3] or 0))
    for size, factor in zip(shape[2:], factors, strict=True):
        tried = size or _ANY_SIZE
        try:
            pixels = nearest_pixels(node, tried, float(factor))
        except ValueError as error:
            raise CompileError(f"{node.name}: {error}; resize outside") from error
        if not np.array_equal(pixels, np.arange(tried * factor) // factor):
            raise CompileError(
                f"{node.name}: {node.op} must repeat every pixel equally often, not as "
                f"{node.attrs.get('coordinate_transformation_mode')} with {node.attrs.get('nearest_mode')} does by "
                f"{factor}; export it asymmetric with floor"
            )
    node.op, node.inputs = "upsample", node.inputs[:1]
    node.attrs = {"factor": factors, "repeat": 1, "pads": (0, 0, 0, 0)}


def _pad(graph: Graph, node: Node) -> None:
    shape, result = (graph.value(tensor).shape or () for tensor in (node.inputs[0], node.output))
    value = node.inputs[2] if len(node.inputs) > 2 else ""
    if node.attrs["mode"] != "constant" or (value and (value not in graph.constants or graph.constants[value].any())):
        found = "another constant" if node.attrs["mode"] == "constant" else node.attrs["mode"]
        raise CompileError(f"{node.name}: Pad must add zeros, not {found}; pad with the constant 0")
    widths = _pad_widths(graph, node, len(shape))
    if len(shape) != 4 or any(before or after for before, after in widths[:2]):
        raise CompileError(f"{node.name}: Pad must widen height and width of (N, C, H, W), not {shape} to {result}")
    (top, bottom), (left, right) = widths[2:]
    node.op, node.inputs = "upsample", node.inputs[:1]
    node.attrs = {"factor": (1, 1), "repeat": 1, "pads": (top, left, bottom, right)}


def _pad_widths(graph: Graph, node: Node, rank: int) -> list[tuple[int, int]]:
    """What Pad adds in front of and behind every axis; infer_shapes has seen that the numbers fit."""
    pads = [int(number) for number in graph.constants[node.inputs[1]].reshape(-1)]
    axes = [*range(rank)]
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [int(axis) % rank for axis in graph.constants[node.inputs[3]].reshape(-1)]
    widths = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        widths[axis] = (pads[place], pads[place + len(axes)])
    return widths


_RULES = {"ConvTranspose": _conv_transpose, "Resize": _resize, "Upsample": _resize, "Pad": _pad}
