# SPDX-License-Identifier: Apache-2.0
"""Programs with float islands as the bytes of a `.bitlens` file, and back, bounds-checked (docs/format.md).

The integer programs in it are whole files of their own. An island is a list of ONNX operators with plain attributes and
arrays: no code, nothing that is not checked against the table of operators.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.files import ISLANDS_MAGIC
from bitlens.core.grid import Grid
from bitlens.core.inputs import ROUNDINGS
from bitlens.graph.cursor import Cursor, FormatError, opened
from bitlens.graph.encode import HEADER, VERSION, grid_bytes, seal, text_bytes
from bitlens.graph.execute import can_execute
from bitlens.graph.file import LARGEST_FILE_BYTES, Program
from bitlens.graph.graph import Graph, GraphError, Node, Value
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.islands import Island, IslandProgram, Part
from bitlens.graph.spec import check_stage

__all__ = ["decode_islands", "encode_islands", "load_program"]

_MOST_AXES = 8
_DTYPES = ("<f4", "<i8", "<i4", "|i1", "|u1", "|b1")  # of constants; the place is the number in the file
_NONE, _WHOLE, _REAL, _TEXT, _WHOLES = range(5)  # kinds of attributes


def load_program(path: str | os.PathLike[str]) -> Program | IslandProgram:
    """Read a file, with float islands or without.

    Raises:
        FormatError: it is no valid program; the sentence begins with the path.
        OSError: it cannot be read.
    """
    if os.stat(path).st_size > LARGEST_FILE_BYTES:
        raise FormatError(f"{path}: file must be at most {LARGEST_FILE_BYTES} bytes, not {os.stat(path).st_size}")
    data = Path(path).read_bytes()
    try:
        return decode_islands(data) if data[:8] == ISLANDS_MAGIC else Program.from_bytes(data)
    except FormatError as error:
        raise FormatError(f"{path}: {str(error).removeprefix('file: ')}") from None


# writing


def encode_islands(program: IslandProgram) -> bytes:
    """Write a program; see docs/format.md for every field."""
    out = bytearray(_texts(program.metadata))
    out += _list(_value, program.inputs)
    out += struct.pack("<H", len(program.parts))
    for part in program.parts:
        content = part.to_bytes() if isinstance(part, Program) else _island(part)
        out += struct.pack("<BI", isinstance(part, Island), len(content)) + content
    out += _list(lambda pair: text_bytes(pair[0]) + text_bytes(pair[1]), [*program.outputs.items()])
    data = seal(HEADER.pack(ISLANDS_MAGIC, VERSION, 0, 0) + bytes(out))
    if len(data) > LARGEST_FILE_BYTES:
        raise GraphError(f"program: file must be at most {LARGEST_FILE_BYTES} bytes, not {len(data)}")
    return data


def _list(write: Callable[[Any], bytes], items: Any) -> bytes:
    return struct.pack("<H", len(items)) + b"".join(map(write, items))


def _texts(texts: Mapping[str, str]) -> bytes:
    return _list(lambda key: text_bytes(key) + _long(texts[key]), [*texts])


def _long(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def _sizes(shape: tuple[int | None, ...]) -> bytes:
    return struct.pack(f"<B{len(shape)}I", len(shape), *(size or 0 for size in shape))


def _floats(array: npt.NDArray[np.float32]) -> bytes:
    return _sizes(array.shape) + np.asarray(array, "<f4").tobytes()


def _value(value: Value) -> bytes:
    out = text_bytes(value.name) + _sizes(value.shape or ())
    if value.grid is None:
        return out + b"\0"
    rounding = struct.pack("<B", [*ROUNDINGS].index(value.rounding))
    return out + b"\1" + grid_bytes(value.grid) + _floats(value.scale) + _floats(value.offset) + rounding


def _island(island: Island) -> bytes:
    graph = island.graph
    out = _texts(island.reasons)
    out += _list(lambda name: _value(graph.value(name)), graph.inputs)
    out += struct.pack("<I", len(graph.constants))
    for name, array in graph.constants.items():
        out += _constant(graph.value(name).with_(name=name), array)
    out += struct.pack("<I", len(graph.nodes))
    for node in graph.nodes:
        out += text_bytes(node.op) + text_bytes(node.name) + _list(text_bytes, node.inputs)
        out += text_bytes(node.outputs[0]) + _sizes(graph.value(node.outputs[0]).shape or ())
        out += _list(lambda item: text_bytes(item[0]) + _attribute(item[1]), [*node.attrs.items()])
    return out + _list(lambda name: _value(graph.value(name)), graph.outputs)


def _constant(value: Value, array: npt.NDArray[Any]) -> bytes:
    if value.grid is not None:  # integers, which fewer bytes than eight may hold
        array = array.astype(next(kind for kind in ("i1", "i4", "i8") if _fits(value.grid, kind)))
    array = np.asarray(array, array.dtype.newbyteorder("<"))
    out = text_bytes(value.name) + struct.pack("<B", _DTYPES.index(array.dtype.str))
    out += _sizes(array.shape) + array.tobytes()
    return out + (b"\0" if value.grid is None else b"\1" + grid_bytes(value.grid) + _floats(value.scale))


def _fits(grid: Grid, kind: str) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= grid.lo and grid.hi <= limits.max)


def _attribute(value: Any) -> bytes:
    if value is None:
        return struct.pack("<B", _NONE)
    if isinstance(value, float):
        return struct.pack("<Bd", _REAL, value)
    if isinstance(value, str):
        return struct.pack("<B", _TEXT) + _long(value)
    if isinstance(value, tuple):
        return struct.pack("<B", _WHOLES) + _list(lambda number: struct.pack("<q", number), value)
    return struct.pack("<Bq", _WHOLE, value)


# reading


def decode_islands(data: bytes) -> IslandProgram:
    """Read a file's bytes.

    Raises:
        FormatError: the bytes are truncated, changed, of another version, or describe what cannot be.
    """
    cursor = opened(data, ISLANDS_MAGIC)
    metadata = _read_texts(cursor, "key of the metadata")
    inputs = [_read_value(cursor) for _ in range(cursor.number("H"))]
    parts: list[Part] = []
    for _ in range(cursor.number("H")):
        host, length = cursor.unpack("BI")
        content = cursor.take(length)
        parts.append(_read_island(content) if host else Program.from_bytes(content))
    outputs = _read_named(cursor, "name of an output", cursor.text)
    if cursor.at != len(data):
        raise FormatError(f"file: must end after the outputs at offset {cursor.at}, not {len(data)}")
    try:
        return IslandProgram(inputs, parts, outputs, metadata)
    except GraphError as error:
        raise FormatError(f"file: {error}") from None


def _read_texts(cursor: Cursor, what: str) -> dict[str, str]:
    return _read_named(cursor, what, cursor.long_text)


def _read_named(cursor: Cursor, what: str, read: Callable[[], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(cursor.number("H")):
        start, name = cursor.at, cursor.text()
        if name in found:
            raise FormatError(f"file: {what} at offset {start} must be given once, not twice: {name}")
        found[name] = read()
    return found


def _read_sizes(cursor: Cursor) -> tuple[int, ...]:
    start, rank = cursor.at, cursor.number("B")
    if rank > _MOST_AXES:
        raise FormatError(f"file: shape at offset {start} must have at most {_MOST_AXES} axes, not {rank}")
    return cursor.unpack(f"{rank}I")


def _read_floats(cursor: Cursor) -> npt.NDArray[np.float32]:
    start, array = cursor.at, _read_array(cursor, "<f4", _read_sizes(cursor)).astype(np.float32)
    if array.size == 0 or not np.all(np.isfinite(array)):
        raise FormatError(f"file: numbers at offset {start} must be finite and at least one")
    return array


def _read_array(cursor: Cursor, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    count = prod(shape)
    if prod(max(size, 1) for size in shape) > LARGEST_FILE_BYTES:  # numpy takes none such, though it be empty
        raise FormatError(f"file: array at offset {cursor.at} must have a shape of this size, not {shape}")
    array = np.frombuffer(cursor.take(count * np.dtype(dtype).itemsize), dtype)
    return array.reshape(shape)


def _read_value(cursor: Cursor) -> Value:
    name, shape = cursor.text(), _read_sizes(cursor)
    value = Value(name, tuple(size or None for size in shape))
    if _flag(cursor, name, "kind"):
        grid, scale, offset = cursor.grid(), _read_floats(cursor), _read_floats(cursor)
        rounding = cursor.number("B")
        channels = shape[1] if len(shape) > 1 else 1
        if rounding >= len(ROUNDINGS):
            raise FormatError(f"{name}: rounding must be below {len(ROUNDINGS)}, not {rounding}")
        for array in (scale, offset):
            if array.shape not in ((), (channels,)):
                raise FormatError(f"{name}: scale and offset must be 1 or {channels} numbers, not {array.shape}")
        value = value.with_(grid=grid, scale=scale, offset=offset, rounding=[*ROUNDINGS][rounding])
    return value


def _flag(cursor: Cursor, name: str, what: str) -> bool:
    number = cursor.number("B")
    if number > 1:
        raise FormatError(f"{name}: {what} must be 0 or 1, not {number}")
    return bool(number)


def _read_island(data: bytes) -> Island:
    cursor, graph = Cursor(data), Graph()
    reasons = _read_texts(cursor, "layer of a reason")
    for _ in range(cursor.number("H")):
        value = _read_value(cursor)
        graph.inputs.append(value.name)
        graph.values[value.name] = value
    for _ in range(cursor.number("I")):
        _read_constant(cursor, graph)
    for _ in range(cursor.number("I")):
        _read_node(cursor, graph)
    declared = [*graph.values.values()]
    for _ in range(cursor.number("H")):
        value = _read_value(cursor)
        graph.outputs.append(value.name)
        graph.values[value.name] = value
        declared.append(value)
    if cursor.at != len(data):
        raise FormatError(f"file: an island must end after its outputs at offset {cursor.at}, not {len(data)}")
    if len({*graph.inputs}) < len(graph.inputs) or {*graph.inputs} & {*graph.constants}:
        raise FormatError("file: inputs of an island must have names of their own")
    try:
        check_stage(graph, "imported")
        for name in graph.outputs:
            if graph.producer(name) is None:
                raise FormatError(f"{name}: output of an island must be computed")
        infer_shapes(graph)
        for value in declared:
            _check_shape(value, graph.value(value.name))
    except FormatError:
        raise
    except GraphError as error:
        raise FormatError(f"file: {error}") from None
    return Island(graph, reasons)


def _check_shape(declared: Value, found: Value) -> None:
    shape = tuple(size or None for size in found.shape or ())
    if tuple(size or None for size in declared.shape or ()) != shape:
        raise FormatError(f"{declared.name}: shape must be {shape}, which the operators give, not {declared.shape}")


def _read_constant(cursor: Cursor, graph: Graph) -> None:
    name, kind = cursor.text(), cursor.number("B")
    if kind >= len(_DTYPES):
        raise FormatError(f"{name}: type of a constant must be below {len(_DTYPES)}, not {kind}")
    if not name or name in graph.constants:
        raise FormatError(f'file: names of constants must be unique and not empty, not "{name}"')
    array = _read_array(cursor, _DTYPES[kind], _read_sizes(cursor))
    value = Value(name, array.shape)
    if _flag(cursor, name, "kind"):
        grid, unit = cursor.grid(), _read_floats(cursor)
        if array.dtype.kind != "i" or not grid.contains(array.astype(np.int64)) or unit.ndim not in (0, array.ndim):
            raise FormatError(f"{name}: constant must hold integers of its grid, and a unit that fits them")
        if any(size not in (1, given) for size, given in zip(unit.shape, array.shape, strict=False)):
            raise FormatError(f"{name}: unit must fit the shape {array.shape}, not be {unit.shape}")
        array, value = array.astype(np.int64), value.with_(grid=grid, scale=unit)
    graph.constants[name], graph.values[name] = array, value


def _read_node(cursor: Cursor, graph: Graph) -> None:
    op, name = cursor.text(), cursor.text()
    if not can_execute(op):
        raise FormatError(f"{name}: operator must be one that reference arithmetic knows, not {op}")
    inputs = [cursor.text() for _ in range(cursor.number("H"))]
    output, shape = cursor.text(), _read_sizes(cursor)
    attrs = _read_named(cursor, f"attribute of {name}", lambda: _read_attribute(cursor, name))
    graph.nodes.append(Node(op, name, inputs, [output], attrs))
    graph.values[output] = Value(output, tuple(size or None for size in shape))


def _read_attribute(cursor: Cursor, name: str) -> Any:
    kind = cursor.number("B")
    if kind == _NONE:
        return None
    if kind == _REAL:
        (number,) = cursor.unpack("d")
        return float(number)
    if kind == _TEXT:
        return cursor.long_text()
    if kind == _WHOLES:
        return cursor.unpack(f"{cursor.number('H')}q")
    if kind == _WHOLE:
        return cursor.number("q")
    raise FormatError(f"{name}: kind of an attribute must be below {_WHOLES + 1}, not {kind}")
