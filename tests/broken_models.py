# SPDX-License-Identifier: Apache-2.0
"""Faults in ONNX files: bytes that are wrong, and graphs, types and constants that are.

A fault may leave a legal model, so what is compiled must be right and what is refused must be refused in one line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitlens.graph.spec import IMPORTED_OPS

__all__ = ["FAULTS", "damage", "mutate_bytes"]

Rng = np.random.Generator
Fault = Callable[[onnx.ModelProto, Rng], object]

_HUGE = (1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1, -1, -(1 << 63))
_ATTRIBUTES = sorted({name for op in IMPORTED_OPS.values() for name in op.attrs})
_VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 5, 1 << 40, [1, 1], [0, 0], [-1, 1], [0, 0, 0, 0], [9, 9, 9, 9], [2], [1, 2, 3]),
    *(0.5, float("nan"), float("inf"), "SAME_UPPER", "\n", "", [], ["a", "b"], [1 << 40, 1 << 40], [0.5, 2.0]),
)
_NAMES = ("", " ", "a\nb", "\x00", "image", "c0", "🦊", "x" * 5000, "../../etc", "%s{0}")


def mutate_bytes(content: bytes, rng: Rng) -> bytes:
    """The bytes of a file cut, shifted or changed here and there."""
    data = bytearray(content)
    kind, place = rng.integers(6), int(rng.integers(len(data)))
    if kind == 0:
        return bytes(data[:place])
    if kind == 1:
        del data[place : place + int(rng.integers(1, 9))]
        return bytes(data)
    if kind == 2:  # a part twice
        end = place + int(rng.integers(1, 200))
        return bytes(data[:end] + data[place:])
    if kind == 3:  # a length or a number that is far too large
        data[place : place + 1] = b"\xff\xff\xff\xff\x7f"
        return bytes(data)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(data)))
        data[place] = int(rng.integers(256)) if kind == 4 else data[place] ^ (1 << int(rng.integers(8)))
    return bytes(data)


def damage(model: onnx.ModelProto, rng: Rng) -> str:
    """Put one fault into a model; return the fault's name."""
    fault = _pick(rng, FAULTS)
    if model.graph.node and model.graph.initializer and model.graph.input and model.graph.output:
        fault(model, rng)
    return fault.__name__


def _pick(rng: Rng, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _tensors(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    return [*(name for node in graph.node for name in node.output), *(item.name for item in graph.initializer)]


# attributes and wires


def drop_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    if node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def change_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    if node.attribute:
        attribute = _pick(rng, node.attribute)
        attribute.CopyFrom(_attribute(attribute.name, _pick(rng, _VALUES)))


def add_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    _pick(rng, model.graph.node).attribute.append(_attribute(_pick(rng, _ATTRIBUTES), _pick(rng, _VALUES)))


def _attribute(name: str, value: Any) -> onnx.AttributeProto:
    empty = isinstance(value, list) and not value
    return helper.make_attribute(name, value, attr_type=onnx.AttributeProto.INTS if empty else None)


def retype_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    if node.attribute:
        _pick(rng, node.attribute).type = int(rng.integers(0, 15))


def huge_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    attributes = [item for node in model.graph.node for item in node.attribute if item.ints or item.HasField("i")]
    if attributes:
        attribute = _pick(rng, attributes)
        if attribute.ints:
            attribute.ints[int(rng.integers(len(attribute.ints)))] = _pick(rng, _HUGE)
        else:
            attribute.i = _pick(rng, _HUGE)


def graph_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["image"], ["inner"])], "inner", [], [])
    _pick(rng, model.graph.node).attribute.append(helper.make_attribute(_pick(rng, ("body", "to", "axis")), inner))


def rewire(model: onnx.ModelProto, rng: Rng) -> None:  # also to a later tensor: a cycle
    node = _pick(rng, model.graph.node)
    if node.input:
        node.input[int(rng.integers(len(node.input)))] = _pick(rng, [*_tensors(model), "", "nothing", "image"])


def drop_operand(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    if node.input:
        del node.input[int(rng.integers(len(node.input)))]


def add_operand(model: onnx.ModelProto, rng: Rng) -> None:
    _pick(rng, model.graph.node).input.append(_pick(rng, [*_tensors(model), ""]))


def rename_result(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    if node.output:
        node.output[int(rng.integers(len(node.output)))] = _pick(rng, [*_tensors(model), "", "image"])


def add_result(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    node.output.append("more")
    if rng.integers(2):
        model.graph.output[0].name = "more"


# nodes


def drop_node(model: onnx.ModelProto, rng: Rng) -> None:
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def double_node(model: onnx.ModelProto, rng: Rng) -> None:
    model.graph.node.append(_pick(rng, model.graph.node))


def swap_nodes(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = [*model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in rng.permutation(len(nodes)))


def change_operator(model: onnx.ModelProto, rng: Rng) -> None:
    node = _pick(rng, model.graph.node)
    node.op_type = _pick(rng, [*IMPORTED_OPS, "GridSample", "Einsum", "NonZero", "Where", "Expand", "LSTM", "", "a\nb"])


def change_domain(model: onnx.ModelProto, rng: Rng) -> None:
    domains = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "finn", "onnx.brevitas", "qonnx.custom_op.channels_last")
    _pick(rng, model.graph.node).domain = _pick(rng, domains)


def control_flow(model: onnx.ModelProto, rng: Rng) -> None:
    graph, end = model.graph, model.graph.output[0].name
    inner = helper.make_graph(
        [helper.make_node("Relu", [end], ["then"])],
        "branch",
        [],
        [helper.make_tensor_value_info("then", TensorProto.FLOAT, None)],
    )
    node = _pick(
        rng,
        (
            helper.make_node("If", [_pick(rng, _tensors(model))], ["chosen"], then_branch=inner, else_branch=inner),
            helper.make_node("Loop", ["", "", end], ["chosen"], body=inner),
            helper.make_node("Scan", [end], ["chosen"], body=inner, num_scan_inputs=1),
            helper.make_node("SequenceConstruct", [end], ["chosen"]),
            helper.make_node("SequenceAt", [end, end], ["chosen"]),
            helper.make_node("Optional", [end], ["chosen"]),
        ),
    )
    graph.node.append(node)
    graph.output[0].name = "chosen"


def growing_chain(model: onnx.ModelProto, rng: Rng) -> None:
    """A small file whose tensors double, and double again."""
    graph, x = model.graph, model.graph.output[0].name
    op, count = _pick(rng, ("Concat", "Add", "Resize", "Pad", "Upsample")), int(_pick(rng, (8, 30, 64)))
    name = "grow.scales"
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), name))
    graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1 << 20, 1 << 20]), "grow.pads"))
    for i in range(count):
        inputs = {"Concat": [x, x], "Add": [x, x], "Resize": [x, "", name], "Pad": [x, "grow.pads"]}.get(op, [x, name])
        attrs: dict[str, Any] = {"axis": 1} if op == "Concat" else {"mode": "nearest"} if op == "Upsample" else {}
        x = f"grow.{i}"
        graph.node.append(helper.make_node(op, inputs, [x], **attrs))
    graph.output[0].name = x


def reshape_away(model: onnx.ModelProto, rng: Rng) -> None:
    graph, sizes = model.graph, [int(_pick(rng, (0, -1, 1, 2, 3, 1 << 31, 1 << 62))) for _ in range(rng.integers(1, 6))]
    graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), "sizes"))
    graph.node.append(helper.make_node("Reshape", [graph.output[0].name, "sizes"], ["reshaped"]))
    graph.output[0].name = "reshaped"


# constants


def damage_constant(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _pick(rng, model.graph.initializer)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception:  # damaged before, in whatever way
        return
    changed = [
        *(array.reshape(-1), array[None], array * 0, -array, array + 0.3, array * np.float32(1e30), array * np.inf),
        *(array * np.nan, np.array([array] * 2), array.astype(np.float64), array.astype(np.float16), array[None][:0]),
        *(array * np.float32(1e-44), array.astype(np.int64), array.astype(np.int8), array.astype(bool), array.T),
    ]
    found = np.asarray(_pick(rng, changed)).astype(array.dtype if rng.integers(2) else None)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(found).reshape(found.shape), tensor.name))


def one_number(model: onnx.ModelProto, rng: Rng) -> None:
    """A scale, a bit width or another lone number that is out of bounds."""
    lone = [item for item in model.graph.initializer if not any(size != 1 for size in item.dims)]
    if lone:
        tensor = _pick(rng, lone)
        number = _pick(rng, (0, -1, -0.0, 0.5, 1.5, 2, 7, 9, 16, 17, 32, 33, 64, 1e-45, 1e30, -1e30, np.nan, np.inf))
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type) if tensor.data_type else np.dtype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(np.full([*tensor.dims], number).astype(kind), tensor.name))


def drop_constant(model: onnx.ModelProto, rng: Rng) -> None:
    del model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]


def double_constant(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = model.graph.initializer.add()
    tensor.CopyFrom(_pick(rng, model.graph.initializer))
    if rng.integers(2):
        tensor.name = _pick(rng, _tensors(model))


def retype_constant(model: onnx.ModelProto, rng: Rng) -> None:
    _pick(rng, model.graph.initializer).data_type = int(rng.integers(0, 26))


def resize_constant(model: onnx.ModelProto, rng: Rng) -> None:
    """Dimensions that its bytes do not fill."""
    dims = _pick(rng, model.graph.initializer).dims
    if dims and rng.integers(2):
        dims[int(rng.integers(len(dims)))] = int(_pick(rng, (0, 2, *_HUGE)))
    else:
        dims.append(int(_pick(rng, (0, 2, *_HUGE))))


def external_constant(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _pick(rng, model.graph.initializer)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    places = ("missing.bin", "../secret", "/etc/hostname", "", "a\nb", ".", "https://example.org/x")
    for key, value in (("location", _pick(rng, places)), ("offset", "0"), ("length", str(_pick(rng, _HUGE)))):
        if rng.integers(4):
            tensor.external_data.add(key=key, value=value)


def sparse_constant(model: onnx.ModelProto, rng: Rng) -> None:
    values = helper.make_tensor("c0", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def text_constant(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _pick(rng, model.graph.initializer)
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, [1], [b"\xffword"]))


# inputs, outputs, names, versions


def change_input(model: onnx.ModelProto, rng: Rng) -> None:
    dims = _pick(rng, model.graph.input).type.tensor_type.shape.dim
    if dims:
        _pick(rng, dims).dim_value = int(_pick(rng, (0, 1, 2, 7, 100, *_HUGE)))


def change_rank(model: onnx.ModelProto, rng: Rng) -> None:
    kind = model.graph.input[0].type
    sizes = [int(_pick(rng, (1, 2, 5, 8))) for _ in range(rng.integers(0, 7))]
    kind.CopyFrom(helper.make_tensor_type_proto(int(_pick(rng, (1, 1, 1, 2, 3, 7, 10, 16))), sizes))


def change_kind(model: onnx.ModelProto, rng: Rng) -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 2])
    kinds = (
        onnx.TypeProto(),
        helper.make_sequence_type_proto(element),
        helper.make_optional_type_proto(element),
        helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [1, 2]),
        helper.make_tensor_type_proto(TensorProto.FLOAT, None),
        helper.make_tensor_type_proto(TensorProto.STRING, ["N", 3, 8, 8]),
    )
    _pick(rng, (model.graph.input[0], model.graph.output[0])).type.CopyFrom(_pick(rng, kinds))


def change_output(model: onnx.ModelProto, rng: Rng) -> None:
    model.graph.output[0].name = _pick(rng, [*_tensors(model), "image", "", "nothing"])


def change_ends(model: onnx.ModelProto, rng: Rng) -> None:
    ends = _pick(rng, (model.graph.input, model.graph.output))
    if rng.integers(2):
        del ends[:]
    else:
        ends.append(_pick(rng, ends))


def constant_as_input(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = _pick(rng, model.graph.initializer)
    model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type or 1, [*tensor.dims]))


def rename(model: onnx.ModelProto, rng: Rng) -> None:
    graph = model.graph
    owner = _pick(rng, [*graph.node, *graph.input, *graph.output, *graph.initializer, graph])
    owner.name = _pick(rng, _NAMES)


def change_versions(model: onnx.ModelProto, rng: Rng) -> None:
    numbers = (0, 1, 7, 8, 9, 10, 11, 12, 13, 17, 20, 22, 23, 26, 30, 1 << 40, -1)
    kind = rng.integers(4)
    if kind == 0:
        del model.opset_import[:]
    elif kind == 1:
        model.ir_version = _pick(rng, numbers)
    elif kind == 2:
        model.opset_import.append(helper.make_opsetid("", _pick(rng, numbers)))
    elif model.opset_import:
        _pick(rng, model.opset_import).version = _pick(rng, numbers)


def functions(model: onnx.ModelProto, rng: Rng) -> None:
    """A function that calls itself, does not fit its call, or has no body."""
    inner = [helper.make_node(_pick(rng, ("Relu", "own", "Gone")), ["a"], ["b"], domain=_pick(rng, ("", "mine")))]
    function = helper.make_function(
        "mine",
        "own",
        _pick(rng, (["a"], [], ["a", "c"])),
        ["b"],
        _pick(rng, (inner, [])),
        [helper.make_opsetid("", 17)],
    )
    model.functions.append(function)
    end = model.graph.output[0].name
    model.graph.node.append(helper.make_node("own", [end], ["called"], domain="mine"))
    if rng.integers(2):
        model.opset_import.append(helper.make_opsetid("mine", 1))
    model.graph.output[0].name = "called"


def metadata(model: onnx.ModelProto, rng: Rng) -> None:
    key, value = _pick(rng, ("name", "classes", "recipe", "tail", "source", "")), _pick(rng, (*_NAMES, "a\nb\nc"))
    model.metadata_props.add(key=key, value=value)


FAULTS: tuple[Fault, ...] = (
    *(drop_attribute, change_attribute, add_attribute, retype_attribute, huge_attribute, graph_attribute),
    *(rewire, drop_operand, add_operand, rename_result, add_result),
    *(drop_node, double_node, swap_nodes, change_operator, change_domain, control_flow, growing_chain, reshape_away),
    *(damage_constant, one_number, drop_constant, double_constant, retype_constant, resize_constant),
    *(external_constant, sparse_constant, text_constant),
    *(change_input, change_rank, change_kind, change_output, change_ends, constant_as_input),
    *(rename, change_versions, functions, metadata),
)
