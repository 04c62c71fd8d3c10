# SPDX-License-Identifier: Apache-2.0
"""QONNX file -> graph at the imported stage.

Nothing is computed here: names are made one, defaults are written out, constants become arrays. What the compiler cannot
take is refused later, by name, where it is met.

    >>> graph = read("net.onnx")  # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import inliner, numpy_helper

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import fresh_node, fresh_tensor, sort_nodes
from bitlens.graph.spec import IMPORTED_OPS, REQUIRED, CompileError
from bitlens.qonnx.dialect import (
    DATATYPE_KEY,
    FLATTENED_BEFORE_13,
    LEAST_OPSET,
    MOVED_ATTRIBUTES,
    STANDARD_DOMAINS,
    datatype_grid,
    operator_name,
)
from bitlens.qonnx.states import STATES_KEY, read_states

__all__ = ["load", "read"]

_INPUT_GRIDS: dict[int, Grid | None] = {
    onnx.TensorProto.FLOAT: None,
    onnx.TensorProto.UINT8: Grid.unsigned(8),
    onnx.TensorProto.INT8: Grid.signed(8),
    # numbers of rows; the table narrows the grid
    onnx.TensorProto.INT32: Grid.span(0, (1 << 31) - 1),
    onnx.TensorProto.INT64: Grid.span(0, (1 << 31) - 1),
}
_NUMBERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_METADATA = ("name", "recipe", "classes", "licence", "threshold")  # what travels from a model file into the program
_CONSTANT_VALUES = ("value", "value_float", "value_floats", "value_int", "value_ints")


def read(source: str | os.PathLike[str] | onnx.ModelProto) -> Graph:
    """Read a model into a graph at the imported stage.

    Args:
        source: path of an ONNX file (weights in external files are found beside it), or a model in memory.

    Returns:
        The graph: operators under their ONNX names with every attribute present, constants as arrays, the shapes of the
        inputs with a free batch. Metadata: "source" (SHA-256 of the file) and "name".

    Raises:
        CompileError: the file cannot be read, or holds something that no stage could take.
    """
    if isinstance(source, onnx.ModelProto):
        model, content, name = source, source.SerializeToString(deterministic=True), source.graph.name
        where = name
    else:
        model, content = load(source)
        where, name = os.fspath(source), Path(source).stem
    _check_versions(where, model)
    _check_names(where, model.graph)
    if model.functions:
        model = _inlined(where, model)
    graph = Graph(metadata={"source": hashlib.sha256(content).hexdigest(), "name": name})
    graph.metadata |= {entry.key: entry.value for entry in model.metadata_props if entry.key in _METADATA}
    _read_constants(graph, model.graph)
    declared = _declared_grids(model.graph)
    for info in model.graph.input:
        if info.name not in graph.constants:
            _read_input(graph, info, declared.get(info.name))
    for proto in model.graph.node:
        _read_node(graph, proto, _opset(model))
    graph.outputs = [info.name for info in model.graph.output]
    if not graph.inputs or not graph.outputs:
        raise CompileError(
            f"{where}: model must have inputs and outputs, not {len(graph.inputs)} and {len(graph.outputs)}"
        )
    if len(set(graph.inputs)) < len(graph.inputs):
        raise CompileError(f"{where}: input names must be unique, not {', '.join(graph.inputs)}")
    if len(set(graph.outputs)) < len(graph.outputs):
        raise CompileError(f"{where}: output names must be unique, not {', '.join(graph.outputs)}")
    _drop_unread_results(graph)
    sort_nodes(graph)
    for entry in model.metadata_props:
        if entry.key == STATES_KEY:
            read_states(graph, entry.value)
    return graph


def load(path: str | os.PathLike[str]) -> tuple[onnx.ModelProto, bytes]:
    """Return the model of a file, and the file's bytes.

    Raises:
        CompileError: the file cannot be read, or is no ONNX model.
    """
    try:
        content = Path(path).read_bytes()
        return onnx.load(path), content
    except OSError as error:
        raise CompileError(f"{error.filename or path}: {error.strerror}") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CompileError(f"{path}: file must be an ONNX model, not broken or foreign: {reason}") from error


def _drop_unread_results(graph: Graph) -> None:
    """Masks, indices and statistics behind the first result; one that is read is refused later, by name."""
    read = {*graph.outputs, *(tensor for node in graph.nodes for tensor in node.inputs)}
    for node in graph.nodes:
        if not read.intersection(node.outputs[1:]):
            node.outputs = node.outputs[:1]


def _check_versions(name: str, model: onnx.ModelProto) -> None:
    most = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in STANDARD_DOMAINS and not LEAST_OPSET <= opset.version <= most:
            raise CompileError(
                f"{name}: ONNX operator set must be {LEAST_OPSET} to {most}, not {opset.version}; "
                "convert the file with onnx.version_converter"
            )


def _inlined(name: str, model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # a C++ error of onnx, of no stated type
        raise CompileError(
            f"{name}: functions must be such that onnx can inline them; export without functions"
        ) from error


def _check_names(name: str, graph: onnx.GraphProto) -> None:
    """Errors are one line and name things, so names must be text."""
    owners = [*graph.input, *graph.output, *graph.initializer, *graph.node]
    texts = [owner.name for owner in owners]
    for node in graph.node:
        texts += [node.op_type, node.domain, *node.input, *node.output, *(item.name for item in node.attribute)]
    for text in texts:
        if isinstance(text, bytes) or not text.isprintable():  # bytes: what protobuf gives where it is not UTF-8
            raise CompileError(f"{name}: every name must be printable text, not {text!r}; repair the file")


def _read_constants(graph: Graph, proto: onnx.GraphProto) -> None:
    if proto.sparse_initializer:
        raise CompileError(f"{proto.name}: initializers must be dense, not sparse; export them dense")
    for tensor in proto.initializer:
        graph.constants[tensor.name] = _array(tensor.name, tensor)


def _array(owner: str, tensor: onnx.TensorProto) -> npt.NDArray[Any]:
    kind = _kind(tensor.data_type)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:  # `load` brings in what stands beside a file
        raise CompileError(f"{owner}: constant must be in the model, not in an external file; give the model's path")
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError, OSError, onnx.checker.ValidationError) as error:
        raise CompileError(f"{owner}: constant must be whole, not a broken {kind} tensor; repair the file") from error
    if array.dtype not in (
        np.float32,
        np.float64,
        np.int64,
        np.int32,
        np.int16,
        np.uint16,
        np.int8,
        np.uint8,
        np.bool_,
    ):
        raise CompileError(f"{owner}: constant must be FLOAT or an integer type, not {kind}; export in float32")
    with np.errstate(over="ignore"):  # infinity is refused where it is used
        return array.astype(np.float32) if array.dtype == np.float64 else np.asarray(array)


def _kind(number: int) -> str:
    """ONNX's name of an element type."""
    known = number in onnx.TensorProto.DataType.values()
    return str(onnx.TensorProto.DataType.Name(number)) if known else f"type {number}"


def _declared_grids(proto: onnx.GraphProto) -> dict[str, Grid | None]:
    """The integers that qonnx's annotations declare for tensors of float32."""
    return {
        note.tensor_name: datatype_grid(entry.value)
        for note in proto.quantization_annotation
        for entry in note.quant_parameter_tensor_names
        if entry.key == DATATYPE_KEY
    }


def _read_input(graph: Graph, info: onnx.ValueInfoProto, declared: Grid | None) -> None:
    tensor = info.type.tensor_type
    if not info.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise CompileError(f"{info.name}: input must be a tensor with a stated shape; export the model with shapes")
    if tensor.elem_type not in _INPUT_GRIDS:
        raise CompileError(
            f"{info.name}: input type must be FLOAT, UINT8, INT8, INT32 or INT64, not {_kind(tensor.elem_type)}; "
            "export in float32"
        )
    sizes = _input_sizes(info.name, tensor)
    graph.inputs.append(info.name)
    # the batch is free whatever the example had; (K, 1) is a column, which products W x take: the batch is behind
    column = len(sizes) == 2 and sizes[1] == 1 and (sizes[0] or 1) > 1
    shape = (sizes[0], None) if column else (None, *sizes[1:])
    graph.values[info.name] = Value(info.name, shape, _INPUT_GRIDS[tensor.elem_type] or declared)


def _input_sizes(name: str, tensor: onnx.TypeProto.Tensor) -> list[int | None]:
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if (len(sizes) == 1) != (tensor.elem_type in _NUMBERS):
        raise CompileError(
            f"{name}: input of type INT32 or INT64 must hold one number a sample, (N,), and no other be so, "
            f"not {_kind(tensor.elem_type)} {_shape_text(tensor.shape)}; export one step"
        )
    if len(sizes) != 1 and (len(sizes) not in (2, 3, 4) or sizes[1] is None):
        raise CompileError(
            f"{name}: input shape must be (N, C, H, W), (N, C, L) or (N, C) with a fixed C, "
            f"not {_shape_text(tensor.shape)}; export the model so"
        )
    return sizes


def _shape_text(shape: onnx.TensorShapeProto) -> str:
    sizes = [str(dim.dim_value or dim.dim_param or "?") for dim in shape.dim]
    return f"({', '.join(sizes)})"


def _opset(model: onnx.ModelProto) -> int:
    """The standard operator set of a model."""
    return max((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), default=LEAST_OPSET)


def _read_node(graph: Graph, proto: onnx.NodeProto, opset: int) -> None:
    op = operator_name(proto.domain, proto.op_type)
    inputs, outputs = [*proto.input], [*proto.output]
    while outputs and not outputs[-1]:
        outputs.pop()
    while inputs and not inputs[-1]:
        inputs.pop()
    if not outputs:
        raise CompileError(f"{proto.name or op}: {op} must have an output, not none; repair the file")
    name = fresh_node(graph, proto.name or f"{op}_{outputs[0]}")
    attrs = {attribute.name: _attribute(name, attribute) for attribute in proto.attribute}
    if op == "Constant":
        graph.constants[outputs[0]] = _constant(name, attrs)
        return
    for position, moved in enumerate(MOVED_ATTRIBUTES.get(op, ()), start=1):
        if moved in attrs:
            tensor = fresh_tensor(graph, f"{name}.{moved}")
            value = attrs.pop(moved)
            graph.constants[tensor] = _numbers(name, moved, value, np.float32 if isinstance(value, float) else np.int64)
            inputs += [""] * (position + 1 - len(inputs))
            inputs[position] = tensor
    if op in FLATTENED_BEFORE_13 and opset < 13:
        attrs = {"axis": 1, "flattened": 1} | attrs
    if op in IMPORTED_OPS:
        defaults = {key: value for key, value in IMPORTED_OPS[op].attrs.items() if value is not REQUIRED}
        attrs = defaults | attrs
    if op in ("Split", "TopK"):  # a node for each result
        for part, output in enumerate(outputs):
            if output:
                own = name if len(outputs) == 1 else fresh_node(graph, f"{name}.{part}")
                graph.nodes.append(Node(op, own, [*inputs], [output], {**attrs, "part": part, "parts": len(outputs)}))
        return
    graph.nodes.append(Node(op, name, inputs, outputs, attrs))


def _attribute(node: str, attribute: onnx.AttributeProto) -> Any:
    try:
        value = onnx.helper.get_attribute_value(attribute)
    except ValueError:
        value = None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return _array(f"{node}: {attribute.name}", value)
    value = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    parts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(part, (int, float, str)) and str(part).isprintable() for part in parts):
        raise CompileError(f"{node}: attribute {attribute.name} must be numbers, a text or a tensor; repair the file")
    return value


def _numbers(node: str, name: str, value: Any, dtype: type) -> npt.NDArray[Any]:
    try:
        return np.asarray(value, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise CompileError(f"{node}: attribute {name} must be numbers, not {value!r}; repair the file") from error


def _constant(node: str, attrs: dict[str, Any]) -> npt.NDArray[Any]:
    (name, value) = next(iter(attrs.items()), ("nothing", None))
    if name not in _CONSTANT_VALUES or len(attrs) != 1:
        raise CompileError(f"{node}: Constant must have one of {', '.join(_CONSTANT_VALUES)}, not {name}")
    if isinstance(value, np.ndarray):
        return value
    return _numbers(node, name, value, np.float32 if name.startswith("value_float") else np.int64)
