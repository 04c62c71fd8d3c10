# SPDX-License-Identifier: Apache-2.0
"""The bytes of a `.bitlens` file as an integer graph, bounds-checked (docs/format.md).

Nothing in the file is believed: every size is compared with the bytes that are left before anything is allocated, and the
finished graph goes through `check_program`, whatever the checksum said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.inputs import ROUNDINGS
from bitlens.core.planes import plane_bytes, unpack_planes
from bitlens.core.steps import NEVER
from bitlens.graph.cursor import Cursor, FormatError, opened
from bitlens.graph.encode import MAGIC, MOST_USES, SHARED
from bitlens.graph.graph import Graph, Node, State, Value
from bitlens.graph.ops import INTEGER_OPS, window_attrs

__all__ = ["FormatError", "decode"]

_MOST_OPS = 65_535
_MOST_CHANNELS = 1 << 20
_OPS = {op.opcode: name for name, op in INTEGER_OPS.items()}


def decode(data: bytes) -> Graph:
    """Read a file's bytes; `graph.metadata` holds its strings.

    Raises:
        FormatError: the bytes are truncated, changed, of another version, or describe what cannot be.
    """
    cursor = opened(data, MAGIC)
    graph = Graph()
    for _ in range(cursor.number("H")):
        key = cursor.text()
        graph.metadata[key] = cursor.long_text()
    _read_inputs(cursor, graph)
    tensors = [*graph.inputs]
    count = cursor.number("I")
    if count > _MOST_OPS:
        raise FormatError(f"file: ops must be at most {_MOST_OPS}, not {count}")
    payloads: list[_Payload] = []
    for _ in range(count):
        _read_op(cursor, graph, tensors, payloads)
    for _ in range(cursor.number("H")):
        name, number = cursor.text(), cursor.number("I")
        if number >= len(tensors):
            raise FormatError(f"{name}: output must be a tensor number below {len(tensors)}, not {number}")
        graph.outputs.append(tensors[number])
        graph.output_names[tensors[number]] = name
    _read_states(cursor, graph)
    if cursor.at != len(data):
        raise FormatError(f"file: must end after the states at offset {cursor.at}, not {len(data)}")
    return graph


def _read_inputs(cursor: Cursor, graph: Graph) -> None:
    for _ in range(cursor.number("H")):
        name = cursor.text()
        height, width, channels, *multiples = cursor.unpack("5I")
        if not 1 <= channels <= _MOST_CHANNELS:
            raise FormatError(f"{name}: channels must be 1 to {_MOST_CHANNELS}, not {channels}")
        grid = cursor.grid()
        scale, offset = cursor.floats(channels, 1.0, "scale"), cursor.floats(channels, 0.0, "offset")
        rounding = cursor.number("B")
        if rounding >= len(ROUNDINGS):
            raise FormatError(f"{name}: rounding must be below {len(ROUNDINGS)}, not {rounding}")
        shape = (height or None, width or None, channels)
        value = Value(name, shape, grid, scale, offset, (multiples[0], multiples[1]), [*ROUNDINGS][rounding])
        _add(graph, value, name)
        graph.inputs.append(name)


def _read_states(cursor: Cursor, graph: Graph) -> None:
    for _ in range(cursor.number("H")):
        place, output, count = cursor.unpack("HHI")
        if place >= len(graph.inputs) or output >= len(graph.outputs):
            raise FormatError(
                f"file: a state must pair an input below {len(graph.inputs)} with an output below {len(graph.outputs)}, "
                f"not {place} and {output}"
            )
        name, user = graph.inputs[place], graph.output_names[graph.outputs[output]]
        shape = tuple(size or 0 for size in graph.value(name).shape or ())
        if count not in (1, math.prod(shape)):  # as Python's integers: it may pass 64 bits
            raise FormatError(f"{name}: a state must have 1 initial integer or {math.prod(shape)}, not {count}")
        initial = cursor.array("<i4", count).astype(np.int64)
        graph.states.append(State(name, user, initial.reshape(() if count == 1 else shape)))


def _add(graph: Graph, value: Value, name: str) -> None:
    if not name or name in graph.values:
        raise FormatError(f'file: tensor names must be unique and not empty, not "{name}"')
    graph.values[name] = value


@dataclass
class _Payload:
    """Where the payload of an op lies in the file, and how many ops have it."""

    opcode: int
    start: int
    end: int
    uses: int = 1


def _read_op(cursor: Cursor, graph: Graph, tensors: list[str], payloads: list[_Payload]) -> None:
    start = cursor.at
    opcode, shared = divmod(cursor.number("B"), SHARED)[::-1]
    if opcode not in _OPS:
        raise FormatError(f"file: opcode at offset {start} must be one of {', '.join(map(str, _OPS))}, not {opcode}")
    name, op = cursor.text(), _OPS[opcode]
    numbers = cursor.unpack(f"{cursor.number('B')}I")
    if any(number >= len(tensors) for number in numbers):
        raise FormatError(f"{name}: operands must be tensor numbers below {len(tensors)}, not {max(numbers)}")
    least, most = INTEGER_OPS[op].operands
    if not least <= len(numbers) <= most:
        raise FormatError(f"{name}: {op} must have {least} to {most} operands, not {len(numbers)}")
    inputs = [tensors[number] for number in numbers]
    grid = cursor.grid()
    # scale and offset come before the payload, so their channel count is checked once the shape is known
    scale, offset = _loose_floats(cursor, 1.0), _loose_floats(cursor, 0.0)
    shapes = [graph.value(tensor).shape or () for tensor in inputs]
    channels = int(shapes[0][2] or 0)
    if shared:
        payloads.append(_owned(cursor, name, opcode, payloads))
        behind, cursor.at = cursor.at, payloads[-1].start
        attrs = _PAYLOADS.get(op, _no_payload)(cursor, name, channels)
        if cursor.at != payloads[-1].end:
            raise FormatError(f"{name}: the payload of another op must fit to the byte")
        cursor.at = behind
    else:
        begin = cursor.at
        attrs = _PAYLOADS.get(op, _no_payload)(cursor, name, channels)
        payloads.append(_Payload(opcode, begin, cursor.at))
    if op == "rescale":
        attrs |= {"lo": grid.lo, "hi": grid.hi}
    node = Node(op, name, inputs, [name], attrs)
    try:
        shape = INTEGER_OPS[op].shape(shapes, attrs)  # type: ignore[arg-type]
    except ValueError as error:
        raise FormatError(f"{name}: {error}") from None
    if not 1 <= shape[2] <= _MOST_CHANNELS:
        raise FormatError(f"{name}: channels must be 1 to {_MOST_CHANNELS}, not {shape[2]}")
    for what, array in (("scale", scale), ("offset", offset)):
        if array.size not in (1, shape[2]) or not np.all(np.isfinite(array)):
            raise FormatError(f"{name}: {what} must be 1 or {shape[2]} finite numbers, not {array.size}")
    _add(graph, Value(name, shape, grid, scale, offset), name)
    graph.nodes.append(node)
    tensors.append(name)


def _owned(cursor: Cursor, name: str, opcode: int, payloads: list[_Payload]) -> _Payload:
    """The payload of the earlier op that the next number names."""
    number = cursor.number("I")
    if number >= len(payloads) or payloads[number].opcode != opcode:
        raise FormatError(f"{name}: payload must be that of an earlier op of the same kind, not of op {number}")
    payloads[number].uses += 1
    if payloads[number].uses > MOST_USES:
        raise FormatError(f"{name}: a payload must be of at most {MOST_USES} ops, not more")
    return payloads[number]


def _loose_floats(cursor: Cursor, default: float) -> npt.NDArray[np.float32]:
    values = cursor.array("<f4", cursor.number("I")).astype(np.float32)
    return np.array(default, np.float32) if values.size == 0 else values.reshape(()) if values.size == 1 else values


def _window(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    fields = cursor.unpack("10H")
    return window_attrs(fields[0:2], fields[2:4], fields[4:8], fields[8:10])


def _conv(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    attrs = _window(cursor, name, channels)
    groups, out_channels = cursor.unpack("II")
    kernel_h, kernel_w = attrs["kernel"]
    if not 1 <= groups <= channels or channels % groups or kernel_h * kernel_w > 1 << 15:
        raise FormatError(f"{name}: groups must divide {channels} channels, not {groups}, and kernels be at most 2^15")
    grid = cursor.grid()
    count = out_channels * kernel_h * kernel_w * (channels // groups)
    weights = _codes(cursor, name, "weight", count, grid).reshape(out_channels, kernel_h, kernel_w, channels // groups)
    has_bias = cursor.number("B")
    if has_bias > 1:
        raise FormatError(f"{name}: has_bias must be 0 or 1, not {has_bias}")
    bias = cursor.array("<i4", out_channels).astype(np.int64) if has_bias else None
    return attrs | {"groups": groups, "weights": weights, "weight_grid": grid, "bias": bias}


def _steps(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    rows, count, width, kind = cursor.unpack("IHBB")
    if rows not in (1, channels) or width not in (1, 2, 4) or kind > 2:
        raise FormatError(
            f"{name}: step tables must have 1 or {channels} rows, width 1, 2 or 4 and kind 0 to 2, "
            f"not {rows}, {width}, {kind}"
        )
    table = cursor.array(f"<i{width}", rows * count).reshape(rows, count).astype(np.int64)
    if np.any(np.diff(table, axis=1) < 0):
        raise FormatError(f"{name}: breakpoints must be ascending")
    breakpoints = np.where(table == (1 << (8 * width - 1)) - 1, NEVER, table)
    if kind == 2:
        lowest = cursor.number("i")
        above = cursor.array("u1", rows * (count + 1)).reshape(rows, count + 1)
        return {"breakpoints": breakpoints, "values": lowest + above.astype(np.int64)}
    if kind == 1:
        values = cursor.array("<i4", rows * (count + 1)).reshape(rows, count + 1).astype(np.int64)
        return {"breakpoints": breakpoints, "values": values}
    pairs = cursor.array([("first", "<i4"), ("slope", "i1")], rows)
    slopes = pairs["slope"].astype(np.int64)
    if not np.all(np.isin(slopes, (-2, -1, 1, 2))):
        raise FormatError(f"{name}: slopes must be -2, -1, 1 or 2")
    used = (breakpoints != NEVER).sum(axis=1, keepdims=True)
    values = pairs["first"].astype(np.int64)[:, None] + slopes[:, None] * np.minimum(np.arange(count + 1), used)
    return {"breakpoints": breakpoints, "values": values}


def _rescale(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    count = cursor.number("I")
    if count not in (1, channels):
        raise FormatError(f"{name}: rescale must have 1 or {channels} rows, not {count}")
    rows = cursor.array([("m", "<i4"), ("b", "<i8"), ("s", "u1")], count)
    if np.any(rows["s"] > 62):
        raise FormatError(f"{name}: shift must be at most 62, not {rows['s'].max()}")
    return {
        "multiplier": rows["m"].astype(np.int64),
        "addend": rows["b"].astype(np.int64),
        "shift": rows["s"].astype(np.int64),
    }


def _upsample(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    height, width, repeat, *pads = cursor.unpack("2HB4i")
    return {"factor": (height, width), "repeat": repeat, "pads": tuple(pads)}


def _select(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    count = cursor.number("I")
    if not 1 <= count <= _MOST_CHANNELS:
        raise FormatError(f"{name}: channels must be 1 to {_MOST_CHANNELS}, not {count}")
    return {"channels": cursor.array("<u4", count).astype(np.int64)}


def _depth_to_space(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    return {"block": cursor.number("H")}


def _lookup(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    rows, columns = cursor.unpack("2I")
    if not 1 <= rows <= _MOST_CHANNELS or not 1 <= columns <= _MOST_CHANNELS:
        raise FormatError(f"{name}: rows and columns must be 1 to {_MOST_CHANNELS}, not {rows} and {columns}")
    grid = cursor.grid()
    table = _codes(cursor, name, "table", rows * columns, grid).reshape(rows, columns)
    return {"table": table, "table_grid": grid}


def _codes(cursor: Cursor, name: str, what: str, count: int, grid: Grid) -> npt.NDArray[np.int32]:
    """Integers of a grid, stored as planes of their codes."""
    codes = unpack_planes(cursor.take(grid.bits * plane_bytes(count)), count, grid.bits)
    if count and codes.max() >= grid.levels:
        raise FormatError(f"{name}: {what} codes must be below {grid.levels}, not {codes.max()}")
    return grid.decode(codes).astype(np.int32)


def _no_payload(cursor: Cursor, name: str, channels: int) -> dict[str, Any]:
    return {}


_PAYLOADS: dict[str, Callable[[Cursor, str, int], dict[str, Any]]] = {
    "conv": _conv,
    "steps": _steps,
    "rescale": _rescale,
    "max_pool": _window,
    "sum_pool": _window,
    "upsample": _upsample,
    "select": _select,
    "depth_to_space": _depth_to_space,
    "lookup": _lookup,
}
