# SPDX-License-Identifier: Apache-2.0
"""Reference rules of what moves elements without changing them."""

from __future__ import annotations

import numpy as np

from bitlens.graph.execute.tensor import Array, Rule, Tensor, integers_of, same
from bitlens.graph.graph import Node
from bitlens.graph.resize import nearest_pixels, resize_scales
from bitlens.graph.spec import CompileError
from bitlens.graph.units import common_unit

__all__ = ["PLACES"]


def _concat(node: Node, operands: list[Tensor | None]) -> Tensor:
    parts = [part for part in operands if part is not None]
    axis, exact = node.attrs["axis"], [part.exact for part in parts]
    found = common_unit([part.unit for part in exact if part is not None and part.unit is not None])
    if None not in exact and found is not None and not any(part.constant for part in parts):
        unit, factors = found
        whole = [factor * integers for factor, integers in zip(factors, integers_of(node, *exact), strict=True)]
        return Tensor.quantized(np.concatenate(whole, axis), unit)
    return Tensor(np.concatenate([part.real for part in parts], axis))


def _reshape(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, target = operands
    assert x is not None and target is not None
    shape = x.real.shape
    sizes = [int(size) for size in target.real]
    if not node.attrs["allowzero"]:
        sizes = [shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    inner = int(np.prod(shape[1:]))
    if len(sizes) > 1 and -1 not in sizes[1:] and int(np.prod(sizes[1:])) == inner:
        sizes[0] = shape[0]  # a file made for one batch serves every batch
    elif -1 in sizes[1:]:  # the batch keeps its axis, so the rest shares the rest
        others = -int(np.prod(sizes[1:]))
        sizes[0] = shape[0] if others and inner % others == 0 else sizes[0]
    return x.moved(lambda a: a.reshape(sizes))


def _flatten(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, axis = same(node, operands), node.attrs["axis"]
    axis += x.real.ndim if axis < 0 else 0
    return x.moved(lambda a: a.reshape(int(np.prod(a.shape[:axis])), int(np.prod(a.shape[axis:]))))


def _squeeze(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, axes = (*operands, None)[:2]
    assert x is not None
    where = tuple(int(axis) for axis in axes.real) if axes is not None else None
    return x.moved(lambda a: np.squeeze(a, where))


def _unsqueeze(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, axes = operands
    assert x is not None and axes is not None
    return x.moved(lambda a: np.expand_dims(a, tuple(int(axis) for axis in axes.real)))


def _slice(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, *rest = (*operands, None, None)[:5]
    starts, ends, axes, steps = (None if part is None else [int(v) for v in part.real] for part in rest)
    assert x is not None and starts is not None and ends is not None
    index = [slice(None)] * x.real.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        index[axes[i] if axes else i] = slice(start, end, steps[i] if steps else 1)
    return x.moved(lambda a: a[tuple(index)])


def _resize(node: Node, operands: list[Tensor | None]) -> Tensor:
    x = operands[0]
    assert x is not None
    names = {name: operand.real for name, operand in zip(node.inputs, operands, strict=True) if operand is not None}
    if node.attrs["mode"] != "nearest":
        raise CompileError(f"{node.name}: mode of {node.op} must be nearest, not {node.attrs['mode']}; resize outside")
    scales = resize_scales(node, x.real.shape, names)
    picked = [nearest_pixels(node, size, scale or 1.0) for size, scale in zip(x.real.shape, scales, strict=True)]

    def pick(array: Array) -> Array:
        for axis, indices in enumerate(picked):
            if axis:  # the batch is as it is
                array = np.take(array, indices, axis)
        return array

    return x.spread(pick)


def _pad(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, pads, value, axes = (*operands, None, None)[:4]
    assert x is not None and pads is not None
    if node.attrs["mode"] != "constant" or (value is not None and np.any(value.real)):
        raise CompileError(f"{node.name}: Pad must add zeros, not other numbers; pad with the constant 0")
    rank = x.real.ndim
    where = range(rank) if axes is None else [int(axis) % rank for axis in axes.real.reshape(-1)]
    numbers = [int(number) for number in pads.real.reshape(-1)]
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(where):
        before[axis], after[axis] = numbers[place], numbers[place + len(numbers) // 2]

    def widen(array: Array) -> Array:
        array = np.pad(array, [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)])
        cuts = zip(before, after, array.shape, strict=True)
        return array[tuple(slice(max(-b, 0), size - max(-a, 0)) for b, a, size in cuts)]

    return x.spread(widen)


def _constant_of_shape(node: Node, operands: list[Tensor | None]) -> Tensor:
    value = node.attrs["value"]
    number = np.zeros(1, np.float32) if value is None else np.asarray(value)
    return Tensor(np.full([int(size) for size in same(node, operands).real], number.reshape(-1)[0]))


def _gather(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, index = operands
    assert x is not None and index is not None
    return x.moved(lambda a: np.take(a, index.real.astype(np.int64), node.attrs["axis"]))


def _split(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, given = (*operands, None)[:2]
    assert x is not None
    axis, part, parts = node.attrs["axis"], node.attrs["part"], node.attrs["parts"]
    share = -(-x.real.shape[axis] // parts)
    sizes = [share] * parts if given is None else [int(size) for size in given.real]
    begin = sum(sizes[:part])
    return x.moved(lambda a: np.take(a, np.arange(begin, min(begin + sizes[part], a.shape[axis])), axis))


def _depth_to_space(node: Node, operands: list[Tensor | None]) -> Tensor:
    (x,) = operands
    assert x is not None
    block = node.attrs["blocksize"]

    def move(a: Array) -> Array:
        n, channels, height, width = a.shape
        depth = channels // block**2
        if node.attrs["mode"] == "CRD":
            parts = a.reshape(n, depth, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
        else:
            parts = a.reshape(n, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
        return np.asarray(parts.reshape(n, depth, height * block, width * block))

    return x.moved(move)


def _space_to_depth(node: Node, operands: list[Tensor | None]) -> Tensor:
    (x,) = operands
    assert x is not None
    block = node.attrs["blocksize"]

    def move(a: Array) -> Array:
        n, depth, height, width = a.shape
        parts = a.reshape(n, depth, height // block, block, width // block, block).transpose(0, 3, 5, 1, 2, 4)
        return np.asarray(parts.reshape(n, depth * block**2, height // block, width // block))

    return x.moved(move)


PLACES: dict[str, Rule] = {
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda node, operands: same(node, operands).moved(lambda a: np.transpose(a, node.attrs["perm"])),
    "Identity": same,
    "Dropout": same,
    "Shape": lambda node, operands: Tensor(
        np.asarray(same(node, operands).real.shape, np.int64)[node.attrs["start"] : node.attrs["end"]]
    ),
    "ConstantOfShape": _constant_of_shape,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Upsample": _resize,
    "Pad": _pad,
}
