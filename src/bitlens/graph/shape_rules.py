# SPDX-License-Identifier: Apache-2.0
"""Shape rules of the operators that may come in: operand shapes to the result's, ValueError where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, prod

from bitlens.graph.ceil_mode import cut_pixels
from bitlens.graph.graph import Node
from bitlens.graph.shape_contents import Known, Shape, axis_from_front, check_numbers
from bitlens.graph.transposed import full_sizes, transposed_sizes

__all__ = ["SHAPE_RULES", "keep_shape"]

Rule = Callable[[Known, Node], Shape]


def keep_shape(known: Known, node: Node) -> Shape:
    """Return the first operand's shape: the rule of what is not in the table."""
    return known.shape(node.inputs[0])


def _keeps(known: Known, node: Node) -> Shape:
    """The first operand's shape, which no other operand may enlarge."""
    shape = known.shape(node.inputs[0])
    for tensor in node.inputs[1:]:
        other = known.shape(tensor)
        fits = all(n in (1, m) for m, n in zip(shape[::-1], other[::-1], strict=False))
        if len(other) > len(shape) or not fits:
            raise ValueError(f"{tensor} must not enlarge {shape}")
    return shape


def _broadcast(known: Known, node: Node) -> Shape:
    a, b = (known.shape(tensor) for tensor in node.inputs)
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    for i, (m, n) in enumerate(zip(a, b, strict=True)):
        if 1 not in (m, n) and m != n and None not in (m, n):
            raise ValueError(f"axis {i} must be {m}, not {n}")
    return tuple(n if m == 1 else m for m, n in zip(a, b, strict=True))


_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")  # whose windows may see padding alone


def _slide(known: Known, node: Node, kernel: Sequence[int]) -> Shape:
    """Height and width after a window."""
    shape = known.shape(node.inputs[0])
    if len(shape) != 4 or len(kernel) != 2:
        raise ValueError(f"tensors must be (N, C, H, W) with a window of 2 axes, not {shape} with {len(kernel)}")
    strides = node.attrs["strides"] or (1, 1)
    dilations = node.attrs["dilations"] or (1, 1)
    pads = node.attrs["pads"] or (0, 0, 0, 0)
    if [len(strides), len(dilations), len(pads)] != [2, 2, 4]:
        raise ValueError(
            f"strides, dilations and pads must have 2, 2 and 4 numbers, not {strides}, {dilations}, {pads}"
        )
    if min(*kernel, *strides, *dilations) < 1 or min(pads) < 0:
        raise ValueError("kernel, strides and dilations must be at least 1 and pads at least 0")
    sizes: list[int | None] = []
    check_numbers([shape[1], *((size or 1) + pads[axis] + pads[axis + 2] for axis, size in enumerate(shape[2:]))])
    for axis, size in enumerate(shape[2:]):
        extent = dilations[axis] * (kernel[axis] - 1) + 1
        if max(pads[axis], pads[axis + 2]) >= extent and max(pads) and node.op not in _CONVOLUTIONS:
            raise ValueError(f"pads must be smaller than the dilated kernel {extent}, not {pads}")
        if size is None:
            sizes.append(None)
        elif node.attrs["auto_pad"] in ("SAME_UPPER", "SAME_LOWER"):
            sizes.append(-(-size // strides[axis]))
        else:
            around = (pads[axis], pads[axis + 2]) if node.attrs["auto_pad"] == "NOTSET" else (0, 0)
            padding = sum(around)
            if node.attrs.get("ceil_mode"):
                cut = cut_pixels(size, kernel[axis], strides[axis], dilations[axis], around)
                if cut and node.attrs["auto_pad"] != "NOTSET":  # whose result runtimes do not agree on
                    raise ValueError(f"ceil_mode must be 0 with auto_pad={node.attrs['auto_pad']}, which cuts a window")
                padding += cut
            if size + padding < extent:
                raise ValueError(f"a window of {extent} must fit the padded size {size + padding}")
            sizes.append((size + padding - extent) // strides[axis] + 1)
    return (*shape[:2], *sizes)


def _conv(known: Known, node: Node, place: int = 1) -> Shape:
    weights = known.shape(node.inputs[place])
    shape = known.shape(node.inputs[0])
    groups = node.attrs["group"]
    if groups < 1:
        raise ValueError(f"group must be at least 1, not {groups}")
    if len(weights) < 2 or weights[0] is None or weights[1] is None:
        raise ValueError(f"weights must be (O, C/group, kernel), not {weights}")
    if shape[1] != weights[1] * groups or weights[0] % groups:
        raise ValueError(
            f"group {groups} must divide {weights[0]} outputs, and weights {weights} must match the channels"
        )
    kernel = [size or 0 for size in weights[2:]]
    if node.attrs["kernel_shape"] not in (None, tuple(kernel)):
        raise ValueError(f"kernel_shape must be {tuple(kernel)}, not {node.attrs['kernel_shape']}")
    return (shape[0], weights[0], *_slide(known, node, kernel)[2:])


def _conv_transpose(known: Known, node: Node) -> Shape:
    shape, weights = (known.shape(tensor) for tensor in node.inputs[:2])
    groups = node.attrs["group"]
    if len(shape) != 4 or len(weights) != 4 or weights[1] is None or groups < 1 or shape[1] != weights[0]:
        raise ValueError(f"weights must be (C, O/group, kh, kw) for (N, C, H, W), not {weights} for {shape}")
    kernel = tuple(size or 0 for size in weights[2:])
    if node.attrs["kernel_shape"] not in (None, kernel) or shape[1] % groups:
        raise ValueError(f"kernel_shape must be {kernel} and group divide {shape[1]}, not {node.attrs['kernel_shape']}")
    check_numbers([weights[1] * groups, *full_sizes(node.attrs, shape[2:], kernel)])
    return (shape[0], weights[1] * groups, *transposed_sizes(node.attrs, shape[2:], kernel))


def _resize(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    sizes = node.inputs[3] if len(node.inputs) > 3 else ""
    if sizes:
        wanted = known.content(sizes)
        if len(wanted) != len(shape):
            raise ValueError(f"sizes must be {len(shape)} numbers, not {len(wanted)}")
        return (shape[0], *wanted[1:])
    scales = known.graph.constants.get(node.inputs[2 if len(node.inputs) > 2 else 1])
    if scales is None or scales.size != len(shape):
        raise ValueError(f"scales must be {len(shape)} constant numbers")
    return tuple(
        None if size is None else floor(size * float(scale)) for size, scale in zip(shape, scales, strict=True)
    )


def _pad(known: Known, node: Node) -> Shape:
    shape, rank = known.shape(node.inputs[0]), len(known.shape(node.inputs[0]))
    pads = known.content(node.inputs[1])
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = [axis_from_front(axis, rank) for axis in known.content(node.inputs[3])]
    else:
        axes = [*range(rank)]
    if len(pads) != 2 * len(axes) or None in pads:
        raise ValueError(f"pads must be {2 * len(axes)} numbers, not {len(pads)}")
    found = [*shape]
    check_numbers([*shape, *(1 + max(0, size or 0) for size in pads)])
    for place, axis in enumerate(axes):
        size = found[axis]
        found[axis] = None if size is None else size + (pads[place] or 0) + (pads[place + len(axes)] or 0)
    return tuple(found)


def _matmul(known: Known, node: Node, place: int = 1) -> Shape:
    a, b = (known.shape(node.inputs[i]) for i in (0, place))
    if len(a) != 2 or len(b) != 2:
        raise ValueError(f"both operands must be matrices, not {a} and {b}")
    a = a[::-1] if node.attrs.get("transA") else a
    b = b[::-1] if node.attrs.get("transB") else b
    if a[1] is None:
        raise ValueError("a flattened map must have a fixed size; export with a fixed height and width")
    if a[1] != b[0]:
        raise ValueError(f"{a[1]} columns must meet as many rows, not {b[0]}")
    return (a[0], b[1])


def _concat(known: Known, node: Node) -> Shape:
    shapes = [known.shape(tensor) for tensor in node.inputs]
    axis = axis_from_front(node.attrs["axis"], len(shapes[0]))
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise ValueError("all operands must have one rank")
    for i, sizes in enumerate(zip(*shapes, strict=True)):
        if i != axis and len({size for size in sizes if size is not None}) > 1:
            raise ValueError(f"axis {i} must be alike")
    joined = [shape[axis] for shape in shapes]
    total = None if None in joined else sum(size for size in joined if size is not None)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _global(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    return (*shape[:2], *(1 for _ in shape[2:]))


def _reduce(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    axes = known.content(node.inputs[1]) if len(node.inputs) > 1 else ()
    if not axes and node.attrs["noop_with_empty_axes"]:
        return shape
    axes = axes or tuple(range(len(shape)))
    where = {axis_from_front(axis, len(shape)) for axis in axes}
    if node.attrs["keepdims"]:
        return tuple(1 if i in where else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in where)


def _volume(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else prod(size for size in sizes if size is not None)


def _flatten(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    axis = node.attrs["axis"]
    if not -len(shape) <= axis <= len(shape):
        raise ValueError(f"axis must be {-len(shape)} to {len(shape)}, not {axis}")
    axis += len(shape) if axis < 0 else 0
    return (_volume(shape[:axis]), _volume(shape[axis:]))


def _reshape(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    target = list(known.content(node.inputs[1]))
    if not node.attrs["allowzero"]:
        target = [shape[i] if size == 0 else size for i, size in enumerate(target)]
    inner = _volume(shape[1:])
    for i, size in enumerate(target):
        others = _volume([other for j, other in enumerate(target) if j not in (0, i)])
        if i > 0 and size == -1 and inner is not None and others and inner % others == 0:
            target[i] = inner // others  # the batch keeps its axis, so the rest shares the rest
    if target and (inner is None or _volume(target[1:]) == inner):
        target[0] = shape[0]
    elif _volume(target) != _volume(shape) or None in target:
        raise ValueError(f"the new shape must keep the batch, not be {tuple(target)}")
    return tuple(None if size == -1 else size for size in target)


def _squeeze(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    if len(node.inputs) > 1:
        where = {axis_from_front(axis, len(shape)) for axis in known.content(node.inputs[1])}
    else:
        where = {i for i, size in enumerate(shape) if size == 1}
    if any(shape[i] != 1 for i in where):
        raise ValueError(f"only axes of size 1 must be squeezed, not {sorted(where)} of {shape}")
    return tuple(size for i, size in enumerate(shape) if i not in where)


def _unsqueeze(known: Known, node: Node) -> Shape:
    shape, axes = known.shape(node.inputs[0]), known.content(node.inputs[1])
    rank = len(shape) + len(axes)
    if len({axis_from_front(axis, rank) for axis in axes}) < len(axes):
        raise ValueError(f"axes must differ, not {axes}")
    where = {axis_from_front(axis, rank) for axis in axes}
    rest = iter(shape)
    return tuple(1 if i in where else next(rest) for i in range(rank))


def _transpose(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    order = node.attrs["perm"] or tuple(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"perm must be an order of {len(shape)} axes, not {order}")
    return tuple(shape[i] for i in order)


def _argmax(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    axis = axis_from_front(node.attrs["axis"], len(shape))
    return (*shape[:axis], *((1,) if node.attrs["keepdims"] else ()), *shape[axis + 1 :])


def _slice(known: Known, node: Node) -> Shape:
    shape = [*known.shape(node.inputs[0])]
    starts, ends = (known.content(tensor) for tensor in node.inputs[1:3])
    axes = known.content(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] else tuple(range(len(starts)))
    steps = known.content(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] else (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError(f"starts, ends, axes and steps must be as many, not {len(starts)}, {len(ends)}, {len(axes)}")
    if len({axis_from_front(axis, len(shape)) for axis in axes}) < len(axes):
        raise ValueError(f"axes must be given once each, not {axes}")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_from_front(axis, len(shape))
        size = shape[place]
        known_size = None not in (size, start, end, step) and step != 0
        shape[place] = len(range(size or 0)[start:end:step]) if known_size else None
    return tuple(shape)


def _split(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    axis, part, parts = axis_from_front(node.attrs["axis"], len(shape)), node.attrs["part"], node.attrs["parts"]
    size = shape[axis]
    found: int | None
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = known.content(node.inputs[1])
        if len(sizes) != parts or (None not in (size, *sizes) and sum(s or 0 for s in sizes) != size):
            raise ValueError(f"{parts} sizes must add up to {size}, not {sizes}")
        if min(s or 0 for s in sizes) < 0:
            raise ValueError(f"sizes must be at least 0, not {sizes}")
        found = sizes[part]
    elif size is None:
        found = None
    else:
        share = -(-size // parts)
        found = min(share, size - share * part)
        if found < 1:
            raise ValueError(f"{size} must be enough for {parts} parts")
    return (*shape[:axis], found, *shape[axis + 1 :])


def _depth_to_space(known: Known, node: Node) -> Shape:
    shape, block = known.shape(node.inputs[0]), node.attrs["blocksize"]
    if len(shape) != 4 or block < 1 or shape[1] is None or shape[1] % (block * block):
        raise ValueError(f"blocksize^2 must divide the channels of (N, C, H, W), not {block} of {shape}")
    large = (None if size is None else size * block for size in shape[2:])
    return (shape[0], shape[1] // block**2, *large)


def _space_to_depth(known: Known, node: Node) -> Shape:
    shape, block = known.shape(node.inputs[0]), node.attrs["blocksize"]
    if len(shape) != 4 or block < 1 or shape[1] is None or any(size is not None and size % block for size in shape[2:]):
        raise ValueError(f"blocksize must divide the height and width of (N, C, H, W), not {block} of {shape}")
    small = (None if size is None else size // block for size in shape[2:])
    return (shape[0], shape[1] * block**2, *small)


def _top_k(known: Known, node: Node) -> Shape:
    shape = known.shape(node.inputs[0])
    axis = axis_from_front(node.attrs["axis"], len(shape))
    return (*shape[:axis], known.content(node.inputs[1])[0], *shape[axis + 1 :])


def _gather(known: Known, node: Node) -> Shape:
    shape, index = known.shape(node.inputs[0]), known.shape(node.inputs[1])
    axis = axis_from_front(node.attrs["axis"], len(shape))
    return (*shape[:axis], *index, *shape[axis + 1 :])


SHAPE_RULES: dict[str, Rule] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMulInteger": _matmul,
    "QLinearConv": lambda known, node: _conv(known, node, place=3),
    "QLinearMatMul": lambda known, node: _matmul(known, node, place=3),
    "Gemm": _matmul,
    "MatMul": _matmul,
    "Quant": _keeps,
    "BipolarQuant": _keeps,
    "PRelu": _keeps,
    "Mul": _broadcast,
    "Add": _broadcast,
    "Sub": _broadcast,
    "Div": _broadcast,
    "MaxPool": lambda known, node: _slide(known, node, node.attrs["kernel_shape"]),
    "AveragePool": lambda known, node: _slide(known, node, node.attrs["kernel_shape"]),
    "GlobalMaxPool": _global,
    "GlobalAveragePool": _global,
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _reduce),
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "ConstantOfShape": lambda known, node: known.content(node.inputs[0]),
    "Gather": _gather,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "Upsample": _resize,
    "ArgMax": _argmax,
    "SpaceToDepth": _space_to_depth,
    "TopK": _top_k,
}
