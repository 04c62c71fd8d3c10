# SPDX-License-Identifier: Apache-2.0
"""The one table of integer ops: opcode, operands, attributes, shape rule, range rule.

Tensors are (height, width, channels), channels last, batch left out; height and width may be None (symbolic).
The meaning of each op is in `docs/format.md` and, executable, in `interpret.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitlens.core.border import sees_pixels
from bitlens.core.bounds import conv_bounds
from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER, StepTable
from bitlens.graph.graph import Graph, GraphError, Node, Value

__all__ = ["INTEGER_OPS", "IntegerOp", "Shape", "describe_outputs", "fills", "only_moves", "window_attrs"]

Shape = tuple[int | None, int | None, int]
Attrs = Mapping[str, Any]

_MOST_TAPS = 1 << 15  # kernel_h * kernel_w
_MOST_REACH = (1 << 16) - 1  # what a file can hold
_MOST_FACTOR = 256
_MOST_PAD = 1 << 15
_WINDOW = ("kernel", "stride", "pads", "dilation")


@dataclass(frozen=True)
class IntegerOp:
    """One row of the table.

    Args:
        opcode: its number in the file.
        operands: least and most operands.
        attrs: names of the attributes a node must have.
        shape: operand shapes and attributes to the result's shape; raises `ValueError` with the rule that is broken.
        range: operand grids and attributes to the smallest and largest result.
        size_bound: whether its arithmetic depends on height and width, which fixes the program's size.
    """

    opcode: int
    operands: tuple[int, int]
    attrs: tuple[str, ...]
    shape: Callable[[Sequence[Shape], Attrs], Shape]
    range: Callable[[Sequence[Grid], Attrs], tuple[int, int]]
    size_bound: bool = False


def window_attrs(
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """The attributes of a sliding window; pads are (top, left, bottom, right)."""
    return {"kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation}


def _slide(shape: Shape, attrs: Attrs) -> tuple[int | None, int | None]:
    if min(*attrs["kernel"], *attrs["stride"], *attrs["dilation"]) < 1 or min(attrs["pads"]) < 0:
        raise ValueError("kernel, stride and dilation must be at least 1 and pads at least 0")
    largest = max(*attrs["kernel"], *attrs["stride"], *attrs["dilation"], *attrs["pads"])
    if largest > _MOST_REACH:
        raise ValueError(f"kernel, stride, dilation and pads must be at most {_MOST_REACH}, not {largest}")
    if attrs["kernel"][0] * attrs["kernel"][1] > _MOST_TAPS:
        raise ValueError(f"kernel must have at most {_MOST_TAPS} taps, not {attrs['kernel']}")
    sizes: list[int | None] = []
    for axis in (0, 1):
        kernel, stride, dilation = (attrs[name][axis] for name in ("kernel", "stride", "dilation"))
        pads = (attrs["pads"][axis], attrs["pads"][axis + 2])
        extent = dilation * (kernel - 1) + 1
        if max(pads) >= extent and max(pads) > 0:
            raise ValueError(f"pads must be smaller than the dilated kernel {extent}, not {max(pads)}")
        size = shape[axis]
        if size is None:
            sizes.append(None)
            continue
        if size + sum(pads) < extent:
            raise ValueError(f"the window of {extent} must fit the padded size {size + sum(pads)}")
        sizes.append((size + sum(pads) - extent) // stride + 1)
    return sizes[0], sizes[1]


def _max_pool_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    height, width = _slide(shapes[0], attrs)
    for axis, size in enumerate(shapes[0][:2]):
        pads = (attrs["pads"][axis], attrs["pads"][axis + 2])
        if size is not None and max(pads) > 0:
            kernel, stride, dilation = (attrs[name][axis] for name in ("kernel", "stride", "dilation"))
            if not sees_pixels(size, kernel, stride, pads, dilation):
                raise ValueError(f"every window must see a pixel, not padding alone, of {size} with pads {pads}")
    return (height, width, shapes[0][2])


def _conv_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    channels = shapes[0][2]
    weights, groups = attrs["weights"], attrs["groups"]
    if groups < 1 or channels % groups or len(weights) % groups:
        raise ValueError(f"groups must divide {channels} input and {len(weights)} output channels, not {groups}")
    if weights.shape[1:] != (*attrs["kernel"], channels // groups):
        raise ValueError(f"weights must be (O, {attrs['kernel']}, {channels // groups}), not {weights.shape}")
    return (*_slide(shapes[0], attrs), len(weights))


def _conv_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    lo, hi = conv_bounds(attrs["weights"], grids[0], attrs["bias"], padded=any(attrs["pads"]))
    return int(lo.min()), int(hi.max())


def _per_channel(name: str) -> Callable[[Sequence[Shape], Attrs], Shape]:
    def rule(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
        rows = len(attrs[name])
        if rows not in (1, shapes[0][2]):
            raise ValueError(f"{name} must have 1 or {shapes[0][2]} rows, not {rows}")
        return shapes[0]

    return rule


def _steps_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    table = StepTable(attrs["breakpoints"], attrs["values"])
    reached = np.concatenate(  # values before the first and after each breakpoint that the operand can reach
        [table.values[:, :1].ravel(), table.values[:, 1:][table.breakpoints <= min(grids[0].hi, NEVER - 1)].ravel()]
    )
    return int(reached.min()), int(reached.max())


def _rescale_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    return attrs["lo"], attrs["hi"]  # the clamp


def _max_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    return grids[0].lo, grids[0].hi


def _sum_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    taps = attrs["kernel"][0] * attrs["kernel"][1]
    lo, hi = grids[0].lo * taps, grids[0].hi * taps
    return (min(lo, 0), max(hi, 0)) if any(attrs["pads"]) else (lo, hi)


def _same_shapes(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    if shapes[0] != shapes[1]:
        raise ValueError(f"both operands must have one shape, not {shapes[0]} and {shapes[1]}")
    return shapes[0]


def _product_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    if shapes[1] not in (shapes[0], (1, 1, shapes[0][2])):
        raise ValueError(f"the second operand must be of the first's shape {shapes[0]} or one pixel, not {shapes[1]}")
    return shapes[0]


def _product_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    a, b = grids
    corners = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return min(corners), max(corners)


def _lookup_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    if shapes[0][2] != 1 or attrs["table"].ndim != 2 or 0 in attrs["table"].shape:
        raise ValueError(
            f"operand must have 1 channel and the table rows, not {shapes[0][2]} and {attrs['table'].shape}"
        )
    return (*shapes[0][:2], attrs["table"].shape[1])


def _lookup_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    rows = len(attrs["table"])
    if grids[0].lo < 0 or grids[0].hi >= rows:
        raise ValueError(f"operand must be a row's number, 0 to {rows - 1}, not {grids[0]}")
    return attrs["table_grid"].lo, attrs["table_grid"].hi


def _concat_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    if any(shape[:2] != shapes[0][:2] for shape in shapes):
        raise ValueError(f"all operands must have one height and width, not {[shape[:2] for shape in shapes]}")
    return (*shapes[0][:2], sum(shape[2] for shape in shapes))


def _upsample_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    factor, pads = attrs["factor"], attrs["pads"]
    if not all(1 <= number <= _MOST_FACTOR for number in factor) or attrs["repeat"] not in (0, 1):
        raise ValueError(f"factors must be 1 to {_MOST_FACTOR} and repeat 0 or 1, not {factor} and {attrs['repeat']}")
    if max(map(abs, pads)) > _MOST_PAD:
        raise ValueError(f"pads must be at most {_MOST_PAD} pixels, not {pads}")
    sizes: list[int | None] = []
    for axis, size in enumerate(shapes[0][:2]):
        if size is None:
            sizes.append(None)
            continue
        if size * factor[axis] + min(pads[axis], 0) + min(pads[axis + 2], 0) < 1:
            raise ValueError(f"a crop must leave a pixel of {size * factor[axis]}, not pads of {pads}")
        sizes.append(size * factor[axis] + pads[axis] + pads[axis + 2])
    return (sizes[0], sizes[1], shapes[0][2])


def only_moves(node: Node) -> bool:
    """Whether a node's result holds its operand's integers and no other."""
    moves = ("max_pool", "concat", "flatten", "crop", "select", "depth_to_space")
    return node.op in moves or (node.op == "upsample" and not fills(node.attrs))


def fills(attrs: Attrs) -> bool:
    """Whether an `upsample` node puts zeros beside what it moves."""
    return max(attrs["pads"]) > 0 or (not attrs["repeat"] and max(attrs["factor"]) > 1)


def _upsample_range(grids: Sequence[Grid], attrs: Attrs) -> tuple[int, int]:
    lo, hi = grids[0].lo, grids[0].hi
    return (min(lo, 0), max(hi, 0)) if fills(attrs) else (lo, hi)


def _select_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    channels = np.asarray(attrs["channels"])
    if channels.ndim != 1 or channels.size == 0 or channels.min() < 0 or channels.max() >= shapes[0][2]:
        raise ValueError(
            f"channels must be numbers of 0 to {shapes[0][2] - 1}, not {channels.min(initial=0)} to {channels.max(initial=-1)}"
        )
    return (shapes[0][0], shapes[0][1], len(channels))


def _depth_to_space_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    (height, width, channels), block = shapes[0], attrs["block"]
    if not 1 <= block <= _MOST_FACTOR or channels % (block * block):
        raise ValueError(f"block must be 1 to {_MOST_FACTOR} and its square divide {channels} channels, not {block}")
    return (None if height is None else height * block, None if width is None else width * block, channels // block**2)


def _crop_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    (height, width, channels), like = shapes
    if any(
        size is not None and wanted is not None and size < wanted
        for size, wanted in zip((height, width), like, strict=False)
    ):
        raise ValueError(f"the map to cut must be at least {like[:2]}, not {(height, width)}")
    return (like[0], like[1], channels)


def _flatten_shape(shapes: Sequence[Shape], attrs: Attrs) -> Shape:
    height, width, channels = shapes[0]
    if height is None or width is None:
        raise ValueError("height and width must be fixed")
    return (1, 1, height * width * channels)


INTEGER_OPS: dict[str, IntegerOp] = {
    "conv": IntegerOp(1, (1, 1), (*_WINDOW, "groups", "weights", "weight_grid", "bias"), _conv_shape, _conv_range),
    "steps": IntegerOp(2, (1, 1), ("breakpoints", "values"), _per_channel("values"), _steps_range),
    "rescale": IntegerOp(
        3, (1, 1), ("multiplier", "addend", "shift", "lo", "hi"), _per_channel("multiplier"), _rescale_range
    ),
    "max_pool": IntegerOp(4, (1, 1), _WINDOW, _max_pool_shape, _max_range),
    "sum_pool": IntegerOp(5, (1, 1), _WINDOW, lambda s, a: (*_slide(s[0], a), s[0][2]), _sum_range),
    "add": IntegerOp(6, (2, 2), (), _same_shapes, lambda g, a: (g[0].lo + g[1].lo, g[0].hi + g[1].hi)),
    "concat": IntegerOp(
        7, (2, 255), (), _concat_shape, lambda g, a: (min(grid.lo for grid in g), max(grid.hi for grid in g))
    ),
    "flatten": IntegerOp(8, (1, 1), (), _flatten_shape, _max_range, size_bound=True),
    "upsample": IntegerOp(9, (1, 1), ("factor", "repeat", "pads"), _upsample_shape, _upsample_range),
    "crop": IntegerOp(10, (2, 2), (), _crop_shape, _max_range),
    "select": IntegerOp(11, (1, 1), ("channels",), _select_shape, _max_range),
    "depth_to_space": IntegerOp(12, (1, 1), ("block",), _depth_to_space_shape, _max_range),
    "multiply": IntegerOp(13, (2, 2), (), _product_shape, _product_range),
    "lookup": IntegerOp(14, (1, 1), ("table", "table_grid"), _lookup_shape, _lookup_range),
}


def describe_outputs(graph: Graph, node: Node) -> tuple[Shape, tuple[int, int]]:
    """The shape and range of a node's result, from its operands' values.

    Raises:
        GraphError: the node breaks a rule of the table.
    """
    op = INTEGER_OPS.get(node.op)
    if op is None:
        raise GraphError(f"{node.name}: op must be one of {', '.join(INTEGER_OPS)}, not {node.op}")
    least, most = op.operands
    if not least <= len(node.inputs) <= most or len(node.outputs) != 1:
        raise GraphError(f"{node.name}: {node.op} must have {least} to {most} operands, not {len(node.inputs)}")
    missing = [name for name in op.attrs if name not in node.attrs]
    if missing:
        raise GraphError(f"{node.name}: {node.op} must have the attribute {missing[0]}")
    values = [graph.value(name) for name in node.inputs]
    shapes, grids = _typed(node, values)
    try:
        return op.shape(shapes, node.attrs), op.range(grids, node.attrs)
    except ValueError as error:
        raise GraphError(f"{node.name}: {error}") from error


def _typed(node: Node, values: Sequence[Value]) -> tuple[list[Shape], list[Grid]]:
    shapes: list[Shape] = []
    grids: list[Grid] = []
    for value in values:
        if value.grid is None or value.shape is None or len(value.shape) != 3 or value.shape[2] is None:
            raise GraphError(
                f"{node.name}: operand {value.name} must be born earlier, with a grid and a shape (H, W, C)"
            )
        height, width, channels = value.shape
        assert channels is not None
        shapes.append((height, width, channels))
        grids.append(value.grid)
    return shapes, grids
