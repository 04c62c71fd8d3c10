# SPDX-License-Identifier: Apache-2.0
"""The scheduler: layers become descriptors, weights and tables become words, tensors get addresses; the unit gets its size.

schedule(program, smallest_unit(program, pe=16, simd=16))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.descriptor import descriptor_words, pack_descriptor
from bitlens.fpga.unit.layers import Layer, Tensor, View
from bitlens.fpga.unit.lower import UnitProgram, lower_layers
from bitlens.fpga.unit.place import place_tensors
from bitlens.fpga.unit.size import UnitSize, check_array
from bitlens.fpga.unit.tables import search_table
from bitlens.fpga.unit.weights import Digits, find_digits, weight_words
from bitlens.graph.file import Program

__all__ = ["Schedule", "Step", "schedule", "smallest_unit"]

IntArray = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint8]  # (words, simd) digits

_LEAST_RING = 64
_MOST_RING = 1 << 16
_MOST_SLOTS = 255


@dataclass(frozen=True)
class Step:
    """A layer as the unit runs it.

    Args:
        layer: what it does.
        fields: of its descriptor.
    """

    layer: Layer
    fields: Mapping[str, int]


@dataclass(frozen=True)
class Schedule:
    """A program for a unit.

    Args:
        size: of the unit.
        steps: in order.
        tensors: by name.
        addresses: of tensors, in words.
        input: name of the tensor that comes in.
        outputs: what goes out, by the name users see.
        constants: descriptors, then weights and tables: words from address 0.
        words: of memory in all.
    """

    size: UnitSize
    steps: list[Step]
    tensors: dict[str, Tensor]
    addresses: dict[str, int]
    input: str
    outputs: dict[str, View]
    constants: Words
    words: int

    def folds(self, tensor: str) -> int:
        """Words of a digit of a pixel."""
        return -(-self.tensors[tensor].shape[2] // self.size.simd)


@dataclass
class _Draft:
    """A layer while the size of the unit is open."""

    layer: Layer
    digits: Digits
    zero: bool  # lanes without a channel must weigh 0
    constant: IntArray  # (O,), what a sum has above the unit's total
    lo: IntArray  # (O,), range of the totals
    hi: IntArray


def smallest_unit(program: Program, pe: int = 16, simd: int = 16, target: str = "generic") -> UnitSize:
    """The unit that is as small as a program's largest layers allow.

    Args:
        program: of one input, with fixed sizes.
        pe, simd: the array, powers of two.
        target: family of devices, one of `TARGETS`.

    Raises:
        FpgaError: an op or a size that no unit can have; names the layer.
    """
    check_array(pe, simd)
    lowered, drafts = _drafts(program, simd)
    return _needed(drafts, lowered.tensors, UnitSize(pe, simd, max(1, pe // 4), 2, 2, _LEAST_RING, 2, target))


def schedule(program: Program, size: UnitSize) -> Schedule:
    """Plan a program on a unit.

    Args:
        program: of one input, with fixed sizes.
        size: of the unit; one unit runs every program that fits it.

    Raises:
        FpgaError: an op or a size that the unit cannot have; names the layer, or what the unit must have.
    """
    simd = size.simd
    lowered, drafts = _drafts(program, simd)
    needed = vars(_needed(drafts, lowered.tensors, size))
    for name, there in vars(size).items():
        if needed[name] != there:
            raise FpgaError(f"unit: {name} must be at least {needed[name]} for this program, not {there}")
    for tensor in lowered.tensors.values():
        tensor.planes = size.acc_bits // 2 if tensor.raw else tensor.planes
    constants = len(drafts) * descriptor_words(simd)
    words, places = [], []
    for draft in drafts:
        block = [_weights(draft, size), search_table(draft.layer, draft.constant, draft.lo, draft.hi, size)]
        places.append((constants, constants + len(block[0]), len(block[0]), len(block[1])))
        constants += sum(map(len, block))
        words += block
    sizes = {name: prod(tensor.shape[:2]) * _pixel(tensor, simd) for name, tensor in lowered.tensors.items()}
    reads = [([view.tensor for view in draft.layer.core.views], draft.layer.result) for draft in drafts]
    kept = [lowered.input, *(view.tensor for view in lowered.outputs.values())]
    addresses = {name: constants + at for name, at in place_tensors(sizes, reads, kept).items()}
    steps = []
    for draft, place in zip(drafts, places, strict=True):
        fields = _fields(draft, lowered.tensors, addresses, size, place)
        steps.append(Step(draft.layer, {**fields, "last": int(draft is drafts[-1])}))
    descriptors = [pack_descriptor(step.layer.core.name, step.fields, simd) for step in steps]
    end = max(addresses[name] + sizes[name] for name in sizes)
    return Schedule(
        size,
        steps,
        lowered.tensors,
        addresses,
        lowered.input,
        lowered.outputs,
        np.concatenate([*descriptors, *words]),
        end,
    )


def _pixel(tensor: Tensor, simd: int) -> int:
    return tensor.planes * -(-tensor.shape[2] // simd)


def _widen(lowered: UnitProgram) -> None:
    """Two tensors that a layer reads side by side have as many digits as the wider one."""
    tensors, changed = lowered.tensors, True
    while changed:
        changed = False
        for layer in lowered.layers:
            joined = [tensors[view.tensor] for view in layer.core.views]
            planes = max(tensor.planes for tensor in joined)
            changed |= any(tensor.planes < planes for tensor in joined)
            for tensor in joined:
                tensor.planes = planes


def _fill(layer: Layer, tensors: Mapping[str, Tensor]) -> int | None:
    """The code of zero, where a layer needs one.

    Raises:
        FpgaError: its tensors have none, or not the same.
    """
    core = layer.core
    size = core.views[0].size
    kernel = core.weights.shape[1:3]
    reach = [
        (o - 1) * s + (k - 1) * d + 1 - p
        for o, s, k, d, p in zip(core.out, core.stride, kernel, core.dilation, core.pads, strict=True)
    ]
    inside = not any(core.pads) and all(r <= n for r, n in zip(reach, size, strict=True))
    between = core.views[0].up != (1, 1) and not core.views[0].repeats
    if inside and not between:
        return None
    codes = {-tensors[view.tensor].grid.lo for view in core.views}
    code = codes.pop()
    if codes or not 0 <= code < 256:
        raise FpgaError(
            f"{core.name}: 0 must have one code in all that is padded for a unit, not {code} beside others; "
            "take --shape stream"
        )
    return code


def _draft(layer: Layer, tensors: Mapping[str, Tensor], simd: int) -> _Draft:
    core = layer.core
    fill = _fill(layer, tensors)
    padded = any(view.channels % simd for view in core.views)
    zero = core.diagonal or bool(fill and padded)
    lows, tops = [], []  # of each weight's view: the smallest integer, the largest code
    for view in core.views:
        grid, width = tensors[view.tensor].grid, 1 if core.diagonal else view.channels
        lows += [grid.lo] * width
        tops += [max(grid.hi - grid.lo, fill or 0)] * width
    constant = (core.weights * np.array(lows)).sum(axis=(1, 2, 3)) + core.bias
    products = core.weights * np.array(tops)
    lo, hi = np.minimum(products, 0).sum(axis=(1, 2, 3)), np.maximum(products, 0).sum(axis=(1, 2, 3))
    return _Draft(layer, find_digits(core.weights, zero), zero, constant, lo, hi)


def _drafts(program: Program, simd: int) -> tuple[UnitProgram, list[_Draft]]:
    lowered = lower_layers(program)
    _widen(lowered)
    return lowered, [_draft(layer, lowered.tensors, simd) for layer in lowered.layers]


def _needed(drafts: list[_Draft], tensors: Mapping[str, Tensor], least: UnitSize) -> UnitSize:
    """The smallest unit that runs all layers and has no less than another."""
    pe, simd, lanes = least.pe, least.simd, least.lanes
    acc_bits, weights, ring, groups = least.acc_bits, least.weights, least.ring, least.groups
    for draft in drafts:
        layer, core = draft.layer, draft.layer.core
        ends = [draft.lo, draft.hi + 1]  # a threshold that no total reaches
        if not layer.bits:
            ends += [draft.lo + draft.constant, draft.hi + draft.constant]
        acc_bits = max(acc_bits, *(max(int(e.max()).bit_length(), int(-e.min() - 1).bit_length()) + 1 for e in ends))
        outputs, kh, kw, _ = core.weights.shape
        folds = [-(-view.channels // simd) for view in core.views]
        out_folds = -(-outputs // pe)
        beats = kh * kw * (len(folds) if core.diagonal else sum(folds))
        weights = max(weights, out_folds * draft.digits.count * beats)
        groups = max(groups, out_folds * pe // lanes)
        rows, advance = _rows(layer)
        ring = max(ring, min((rows + advance) * _row(layer, tensors, simd), _MOST_RING))
    acc_bits += acc_bits % 2
    if acc_bits > 32:
        raise FpgaError(f"program: sums must have at most 32 bits for a unit, not {acc_bits}; take --shape stream")
    deep, wide, many = (1 << (number - 1).bit_length() for number in (weights, ring, groups))
    return UnitSize(pe, simd, lanes, acc_bits, deep, wide, many, least.target)


def _row(layer: Layer, tensors: Mapping[str, Tensor], simd: int) -> int:
    """Words of a row of the ring."""
    views = layer.core.views
    folds = sum(-(-view.channels // simd) for view in views)
    return views[0].width * tensors[views[0].tensor].planes * folds


def _rows(layer: Layer) -> tuple[int, int]:
    """Rows that a row of the result needs at most, and by how many the next one lies lower at most."""
    core, (up, _) = layer.core, layer.core.views[0].up
    reach = (layer.pool[0] - 1) * core.stride[0] + (core.weights.shape[1] - 1) * core.dilation[0]
    return min(reach // up + 2, core.views[0].height), layer.pool_stride[0] * core.stride[0] // up + 1


def _wanted_rows(layer: Layer) -> int:
    """Rows up to the last one that a window sees: the loader must not be at work when the layer ends."""
    core, first = layer.core, layer.core.views[0]
    sums = (layer.out[0] - 1) * layer.pool_stride[0] + layer.pool[0]  # rows of sums that are pooled
    bottom = (sums - 1) * core.stride[0] + (core.weights.shape[1] - 1) * core.dilation[0] - core.pads[0]
    return int(max(1, min(first.height, bottom // first.up[0] + 1)))


def _weights(draft: _Draft, size: UnitSize) -> Words:
    folds = tuple(-(-view.channels // size.simd) for view in draft.layer.core.views)
    return weight_words(draft.layer.core, draft.digits, draft.zero, size, folds)


def _fields(
    draft: _Draft,
    tensors: Mapping[str, Tensor],
    addresses: Mapping[str, int],
    size: UnitSize,
    place: tuple[int, int, int, int],
) -> dict[str, int]:
    layer, core, digits = draft.layer, draft.layer.core, draft.digits
    first, second = core.views[0], core.views[1] if len(core.views) > 1 else None
    planes = tensors[first.tensor].planes
    folds1, folds2 = (-(-view.channels // size.simd) if view else 0 for view in (first, second))
    outputs, kh, kw, _ = core.weights.shape
    out_folds = -(-outputs // size.pe)
    beats = kh * kw * (len(core.views) if core.diagonal else folds1 + folds2)
    row_words = _row(layer, tensors, size.simd)
    rows, advance = _rows(layer)
    slots = min(size.ring // row_words, _MOST_SLOTS)
    if slots < max(rows, advance):
        raise FpgaError(
            f"{core.name}: {max(rows, advance)} rows of {row_words} words must fit a ring of {size.ring} for a unit; "
            "take a smaller --size"
        )
    # every product carries 6 above its value: pairs (j, k) of digits count 4^(j + k), the sum of numbers 4^k
    lifts = 6 * size.simd * beats
    pairs = sum(4 ** (j + k) for j in range(digits.count) for k in range(planes))
    offset = -lifts * ((1 + digits.twice) * pairs + digits.gain * sum(4**k for k in range(planes)))
    offset = ((offset + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)  # sums wrap
    result, out = tensors[layer.result], layer.out
    return {
        "source1": addresses[first.tensor],
        "source2": addresses[second.tensor] if second else 0,
        "pitch1": tensors[first.tensor].shape[1] * planes * folds1,
        "pitch2": tensors[second.tensor].shape[1] * planes * folds2 if second else 0,
        "words1": first.width * planes * folds1,
        "words2": first.width * planes * folds2,
        "height": _wanted_rows(layer),
        "width": first.width,
        "folds1": folds1,
        "folds2": folds2,
        "up_h": first.up[0].bit_length() - 1,
        "up_w": first.up[1].bit_length() - 1,
        "repeats": int(first.repeats),
        "planes": planes,
        "fill": _fill(layer, tensors) or 0,
        "kernel_h": kh,
        "kernel_w": kw,
        "dilation_h": core.dilation[0],
        "dilation_w": core.dilation[1],
        "pad_top": core.pads[0],
        "pad_left": core.pads[1],
        "step_h": core.stride[0],
        "step_w": core.stride[1],
        "pool_h": layer.pool[0],
        "pool_w": layer.pool[1],
        "advance_h": layer.pool_stride[0] * core.stride[0],
        "advance_w": layer.pool_stride[1] * core.stride[1],
        "reach_h": (layer.pool[0] - 1) * core.stride[0] + (kh - 1) * core.dilation[0],
        "weights": place[0],
        "weight_words": place[2],
        "table": place[1],
        "table_words": place[3],
        "digits": digits.count,
        "twice": int(digits.twice),
        "gain": digits.gain,
        "offset": offset,
        "diagonal": int(core.diagonal),
        "beats": beats,
        "fold_words": digits.count * beats,
        "slots": slots,
        "row_words": row_words,
        "pixel_words": planes * (folds1 + folds2),
        "out_height": out[0],
        "out_width": out[1],
        "out_folds": out_folds,
        "channels": outputs,
        "groups": out_folds * size.pe // size.lanes,
        "bits": layer.bits,
        "out_planes": result.planes,
        "floor": max(size.pe // size.lanes + 2, result.planes),
        "result": addresses[layer.result],
        "result_words": prod(out) * _pixel(result, size.simd),
    }
