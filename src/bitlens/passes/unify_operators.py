# SPDX-License-Identifier: Apache-2.0
"""One operator for each meaning: fewer spellings for every pass that follows."""

from __future__ import annotations

from collections.abc import Callable

from bitlens.graph.ceil_mode import whole_pads
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import bypass, drop_dead, fresh_node, fresh_tensor, insert_after, replace_tensor
from bitlens.graph.spec import CompileError
from bitlens.graph.transposed import transposed_pads

__all__ = ["unify_operators"]

_FLOAT = 1  # ONNX's number of float32


def unify_operators(graph: Graph) -> None:
    """Rewrite spellings.

    - Identity, Dropout, Cast to float, and Reshapes and Transposes that move nothing: gone;
    - Flatten, Squeeze, Unsqueeze, Reshape: Reshape with one input, told by the shapes alone;
    - ReduceMean and ReduceMax over height and width: global pools; these: pools with the whole map as window;
    - MatMul: Gemm; automatic padding, cut windows of MaxPool and left-out strides: numbers;
    - padding of a Conv as wide as its window or wider: zeros around the map.

    Raises:
        CompileError: a spelling says something that has no counterpart.
    """
    for node in [*graph.nodes]:
        rule = _RULES.get(node.op)
        if rule is not None:
            rule(graph, node)
    drop_dead(graph)


def _drop(graph: Graph, node: Node) -> None:
    bypass(graph, node)


def _dropout(graph: Graph, node: Node) -> None:
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    if training and (training not in graph.constants or graph.constants[training].any()):
        raise CompileError(f"{node.name}: training_mode must be false, not true; export the model in eval mode")
    bypass(graph, node)


def _limit(graph: Graph, node: Node) -> None:
    """Max and Min of data and one constant number: Clip."""
    constants = [tensor for tensor in node.inputs if tensor in graph.constants]
    if len(node.inputs) != 2 or len(constants) != 1 or graph.constants[constants[0]].size != 1:
        return
    (data,) = (tensor for tensor in node.inputs if tensor != constants[0])
    node.inputs = [data, constants[0]] if node.op == "Max" else [data, "", constants[0]]
    node.op, node.attrs = "Clip", {}


def _cast(graph: Graph, node: Node) -> None:
    if node.attrs["to"] != _FLOAT:
        if _is_data(graph, node.inputs[0]):
            raise CompileError(
                f"{node.name}: Cast must be to FLOAT (1), not to type {node.attrs['to']}; use a Quant operator"
            )
        return
    bypass(graph, node)


def _is_data(graph: Graph, tensor: str) -> bool:
    """Whether a tensor holds images or features, not a shape: it has a batch."""
    shape = graph.value(tensor).shape
    return shape is None or len(shape) > 1


def _reshape(graph: Graph, node: Node) -> None:
    before, after = graph.value(node.inputs[0]).shape, graph.value(node.output).shape
    if before == after:
        bypass(graph, node)
    else:
        node.op, node.inputs, node.attrs = "Reshape", node.inputs[:1], {}


def _transpose(graph: Graph, node: Node) -> None:
    order = node.attrs["perm"]
    if order is not None and tuple(order) == tuple(range(len(order))):
        bypass(graph, node)


def _matmul(graph: Graph, node: Node) -> None:
    node.op, node.attrs = "Gemm", {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def _reduce(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    axes = (
        [int(axis) % len(shape) for axis in graph.constants[node.inputs[1]].reshape(-1)] if len(node.inputs) > 1 else []
    )
    if sorted(axes) != [2, 3] or len(shape) != 4:
        raise CompileError(f"{node.name}: axes of {node.op} must be height and width, not {axes} of {len(shape)}")
    flat = not node.attrs["keepdims"]
    pool = "GlobalAveragePool" if node.op == "ReduceMean" else "GlobalMaxPool"
    node.op, node.inputs, node.attrs = pool, node.inputs[:1], {}
    if flat:
        result = node.output
        vector = fresh_tensor(graph, f"{result}.flat")
        replace_tensor(graph, result, vector)
        graph.values[vector] = graph.value(result).with_(name=vector)
        graph.values[result] = graph.value(result).with_(shape=(*shape[:2], 1, 1))
        insert_after(graph, node, Node("Reshape", fresh_node(graph, f"{node.name}.flat"), [result], [vector]))
    _global_pool(graph, node)


def _global_pool(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    if len(shape) != 4 or shape[2] is None or shape[3] is None:
        raise CompileError(
            f"{node.name}: map of {node.op} must have a fixed height and width, not {shape}; export with a fixed size"
        )
    window = {"kernel_shape": shape[2:], "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    node.op, node.attrs = node.op.removeprefix("Global"), {**window, "ceil_mode": 0, "count_include_pad": 0}


def _window(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    kernel = node.attrs.get("kernel_shape") or (graph.value(node.inputs[1]).shape or ())[2:]
    strides, dilations = (node.attrs[name] or (1, 1) for name in ("strides", "dilations"))
    node.attrs.update(kernel_shape=tuple(kernel), strides=strides, dilations=dilations)
    node.attrs["pads"] = _pads(node, shape[2:])
    extent = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if node.op == "Conv" and any(pad >= extent[axis % 2] for axis, pad in enumerate(node.attrs["pads"]) if pad):
        _pad_before(graph, node)


def _pad_before(graph: Graph, node: Node) -> None:
    """Let a map with zeros around it come in, and a Conv without padding."""
    source, pads = graph.value(node.inputs[0]), node.attrs["pads"]
    n, channels, height, width = source.shape or (None,) * 4
    tensor = fresh_tensor(graph, f"{node.output}.padded")
    sizes = (None if size is None else size + pads[i] + pads[i + 2] for i, size in enumerate((height, width)))
    graph.values[tensor] = Value(tensor, (n, channels, *sizes))
    attrs = {"factor": (1, 1), "repeat": 1, "pads": pads}
    around = Node("upsample", fresh_node(graph, f"{node.name}.pads"), [source.name], [tensor], attrs)
    graph.nodes.insert(graph.nodes.index(node), around)
    node.inputs[0], node.attrs["pads"] = tensor, (0, 0, 0, 0)


def _pool(graph: Graph, node: Node) -> None:
    sizes = (graph.value(node.inputs[0]).shape or ())[2:]
    explicit = node.attrs["auto_pad"] == "NOTSET"
    _window(graph, node)
    if not explicit:  # automatic pads cut no window
        node.attrs["ceil_mode"] = 0
    elif node.attrs["ceil_mode"] and node.op == "MaxPool" and None not in sizes:
        pads = whole_pads(node.attrs, [size or 0 for size in sizes], node.attrs["kernel_shape"])
        node.attrs.update(pads=pads, ceil_mode=0)


def _transposed(graph: Graph, node: Node) -> None:
    sizes, kernel = ((graph.value(tensor).shape or ())[2:] for tensor in node.inputs[:2])
    try:
        pads = transposed_pads(node.attrs, sizes, tuple(size or 0 for size in kernel))
    except ValueError as error:
        raise CompileError(f"{node.name}: {error}; export explicit pads") from error
    strides, dilations = (node.attrs[name] or (1, 1) for name in ("strides", "dilations"))
    tail = node.attrs["output_padding"] or (0, 0)
    node.attrs = {
        **{"strides": strides, "dilations": dilations, "output_padding": tail, "pads": pads},
        "group": node.attrs["group"],
    }


def _pads(node: Node, sizes: tuple[int | None, ...]) -> tuple[int, ...]:
    """Pads as (top, left, bottom, right); ONNX's SAME splits what the strided output lacks, the odd one after or before."""
    mode = node.attrs.pop("auto_pad")
    if mode == "NOTSET":
        return node.attrs["pads"] or (0, 0, 0, 0)
    if mode == "VALID":
        return (0, 0, 0, 0)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise CompileError(f"{node.name}: auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not {mode}")
    small, large = [], []
    for size, kernel, stride, dilation in zip(
        sizes, node.attrs["kernel_shape"], node.attrs["strides"], node.attrs["dilations"], strict=True
    ):
        if size is None and stride != 1:
            raise CompileError(
                f"{node.name}: pads must be numbers where the size is symbolic, not {mode}; export explicit pads"
            )
        total = max(0, (-(-(size or 0) // stride) - 1) * stride + dilation * (kernel - 1) + 1 - (size or 0))
        small.append(total // 2)
        large.append(total - total // 2)
    return (*small, *large) if mode == "SAME_UPPER" else (*large, *small)


_RULES: dict[str, Callable[[Graph, Node], None]] = {
    "Identity": _drop,
    "Dropout": _dropout,
    "Cast": _cast,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "MatMul": _matmul,
    "Max": _limit,
    "Min": _limit,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Conv": _window,
    "ConvTranspose": _transposed,
    "MaxPool": _pool,
    "AveragePool": _pool,
}
