# SPDX-License-Identifier: Apache-2.0
"""An integer graph as the bytes of a `.bitlens` file (docs/format.md)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.inputs import ROUNDINGS
from bitlens.core.planes import pack_planes
from bitlens.core.steps import NEVER
from bitlens.graph.graph import Graph, GraphError, Node, Value
from bitlens.graph.ops import INTEGER_OPS

__all__ = [
    "HEADER",
    "LONGEST_TEXT",
    "MAGIC",
    "MOST_USES",
    "SHARED",
    "VERSION",
    "encode",
    "grid_bytes",
    "seal",
    "shared_payloads",
    "table_bytes",
    "text_bytes",
]

MAGIC = b"\x89BITLENS"
VERSION = 1
LONGEST_TEXT = 512
HEADER = struct.Struct("<8sIIQ")  # magic, version, CRC-32 of bytes 16.., length of the file

SHARED = 0x80  # of an opcode: the payload is that of an earlier op
MOST_USES = 16  # of one payload, so that a reader needs no more than so many times the memory of the file

_REGULAR, _WORDS, _BYTES = 0, 1, 2  # how a step table's values are stored


def encode(graph: Graph, metadata: dict[str, str]) -> bytes:
    """Write an integer graph that `check_program` accepts; see docs/format.md for every field."""
    out = bytearray()
    out += struct.pack("<H", len(metadata))
    for key, text in metadata.items():
        raw = text.encode()
        out += text_bytes(key) + struct.pack("<I", len(raw)) + raw
    number = {name: i for i, name in enumerate([*graph.inputs, *(node.output for node in graph.nodes)])}
    out += struct.pack("<H", len(graph.inputs))
    for name in graph.inputs:
        value = graph.value(name)
        out += text_bytes(name) + struct.pack("<5I", *(size or 0 for size in value.shape or ()), *value.multiples)
        out += grid_bytes(value.grid) + _real(value) + struct.pack("<B", [*ROUNDINGS].index(value.rounding))
    out += struct.pack("<I", len(graph.nodes))
    for node, (payload, owner) in zip(graph.nodes, _payloads(graph), strict=True):
        value, shared = graph.value(node.output), 0 if owner is None else SHARED
        out += struct.pack("<B", INTEGER_OPS[node.op].opcode | shared) + text_bytes(node.name)
        out += struct.pack(f"<B{len(node.inputs)}I", len(node.inputs), *(number[name] for name in node.inputs))
        out += grid_bytes(value.grid) + _real(value) + (payload if owner is None else struct.pack("<I", owner))
    out += struct.pack("<H", len(graph.outputs))
    for name in graph.outputs:
        out += text_bytes(graph.output_names.get(name, name)) + struct.pack("<I", number[name])
    users = [graph.output_names.get(name, name) for name in graph.outputs]
    out += struct.pack("<H", len(graph.states))
    for state in graph.states:
        initial = np.asarray(state.initial, "<i4").reshape(-1)
        out += struct.pack("<HHI", graph.inputs.index(state.input), users.index(state.output), initial.size)
        out += initial.tobytes()
    return seal(HEADER.pack(MAGIC, VERSION, 0, 0) + bytes(out))


def shared_payloads(graph: Graph) -> dict[str, str]:
    """Return the ops whose weights or tables a file takes from an earlier op that has the same, by name, and that op's name."""
    return {
        node.name: graph.nodes[owner].name
        for node, (_, owner) in zip(graph.nodes, _payloads(graph), strict=True)
        if owner is not None
    }


def _payloads(graph: Graph) -> Iterator[tuple[bytes, int | None]]:
    """The payload of each op, and the number of the earlier op that it is taken from, if any."""
    owners: dict[tuple[str, bytes], tuple[int, int]] = {}  # the op that has it, and how many do by now
    for place, node in enumerate(graph.nodes):
        payload = _PAYLOADS.get(node.op, _nothing)(node)
        owner, uses = owners.get((node.op, payload), (place, 0))
        if uses == MOST_USES:
            owner, uses = place, 0
        owners[node.op, payload] = owner, uses + 1
        yield payload, owner if uses and len(payload) > 4 else None  # a number has 4 bytes


def seal(data: bytes) -> bytes:
    """Set the length and the checksum in the header of a file's bytes."""
    body = struct.pack("<Q", len(data)) + data[HEADER.size :]
    return data[:12] + struct.pack("<I", zlib.crc32(body)) + body


def text_bytes(text: str) -> bytes:
    """A short text as a file has it.

    Raises:
        GraphError: it is longer than readers take.
    """
    raw = text.encode()
    if len(raw) > LONGEST_TEXT:
        raise GraphError(f"{text[:40]}...: name must have at most {LONGEST_TEXT} bytes, not {len(raw)}; rename it")
    return struct.pack("<H", len(raw)) + raw


def grid_bytes(grid: Grid | None) -> bytes:
    """A grid as a file has it."""
    assert grid is not None  # check_program has seen to it
    return struct.pack("<iiB", grid.lo, grid.hi, grid.step)


def _real(value: Value) -> bytes:
    return _floats(value.scale, 1.0) + _floats(value.offset, 0.0)


def _floats(array: npt.NDArray[np.float32], default: float) -> bytes:
    flat = np.asarray(array, "<f4").reshape(-1)
    if flat.size == 1 and flat[0] == default:
        return struct.pack("<I", 0)
    return struct.pack("<I", flat.size) + flat.tobytes()


def _window(node: Node) -> bytes:
    attrs = node.attrs
    return struct.pack("<10H", *attrs["kernel"], *attrs["stride"], *attrs["pads"], *attrs["dilation"])


def _conv(node: Node) -> bytes:
    attrs = node.attrs
    grid: Grid = attrs["weight_grid"]
    weights = pack_planes(grid.encode(attrs["weights"]), grid.bits)
    out = _window(node) + struct.pack("<II", attrs["groups"], len(attrs["weights"])) + grid_bytes(grid) + weights
    if attrs["bias"] is None:
        return out + b"\0"
    return out + b"\1" + np.asarray(attrs["bias"], "<i4").tobytes()


def _steps(node: Node) -> bytes:
    breakpoints: npt.NDArray[np.int64] = node.attrs["breakpoints"]
    values: npt.NDArray[np.int64] = node.attrs["values"]
    rows, count = breakpoints.shape
    used = breakpoints != NEVER
    width = next(w for w in (1, 2, 4) if _fits(breakpoints[used], w))
    table: npt.NDArray[np.int32] = np.where(used, breakpoints, (1 << (8 * width - 1)) - 1).astype(f"<i{width}")
    slopes = _regular_slopes(values, used)
    lowest = int(values.min())
    kind = _REGULAR if slopes is not None else _BYTES if int(values.max()) - lowest < 256 else _WORDS
    head = struct.pack("<IHBB", rows, count, width, kind) + table.tobytes()
    if slopes is None:
        if kind == _WORDS:
            return head + values.astype("<i4").tobytes()
        return head + struct.pack("<i", lowest) + (values - lowest).astype("u1").tobytes()
    pairs = np.zeros(rows, [("first", "<i4"), ("slope", "i1")])
    pairs["first"], pairs["slope"] = values[:, 0], slopes
    return head + pairs.tobytes()


def table_bytes(node: Node) -> int:
    """Bytes of a `steps` node's table and values."""
    return len(_steps(node)) - 8


def _fits(breakpoints: npt.NDArray[np.int64], width: int) -> bool:
    """Whether all breakpoints lie below the largest number of a width, which means "never"."""
    top = (1 << (8 * width - 1)) - 1
    return width == 4 or bool(np.all((breakpoints >= -top - 1) & (breakpoints < top)))


def _regular_slopes(values: npt.NDArray[np.int64], used: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64] | None:
    """What each breakpoint of a row adds, where that is one number per row; None where it is not."""
    steps = np.diff(values, axis=1)
    if values.shape[1] == 1:
        return np.ones(len(values), np.int64)
    slopes = np.where(used[:, 0], steps[:, 0], 1)
    regular = np.all((steps == slopes[:, None]) | ~used) and np.all(np.isin(slopes, (-2, -1, 1, 2)))
    return slopes if regular else None


def _rescale(node: Node) -> bytes:
    attrs = node.attrs
    rows = np.zeros(len(attrs["multiplier"]), [("m", "<i4"), ("b", "<i8"), ("s", "u1")])
    rows["m"], rows["b"], rows["s"] = attrs["multiplier"], attrs["addend"], attrs["shift"]
    return struct.pack("<I", len(rows)) + rows.tobytes()


def _upsample(node: Node) -> bytes:
    attrs = node.attrs
    return struct.pack("<2HB4i", *attrs["factor"], attrs["repeat"], *attrs["pads"])


def _select(node: Node) -> bytes:
    channels = np.asarray(node.attrs["channels"], "<u4")
    return struct.pack("<I", len(channels)) + channels.tobytes()


def _depth_to_space(node: Node) -> bytes:
    return struct.pack("<H", node.attrs["block"])


def _lookup(node: Node) -> bytes:
    table, grid = node.attrs["table"], node.attrs["table_grid"]
    return struct.pack("<2I", *table.shape) + grid_bytes(grid) + pack_planes(grid.encode(table), grid.bits)


def _nothing(node: Node) -> bytes:
    return b""


_PAYLOADS: dict[str, Callable[[Node], bytes]] = {
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
