# SPDX-License-Identifier: Apache-2.0
"""What a ConvTranspose cuts from its full result, with ONNX's automatic forms worked out.

full size = stride * (size - 1) + dilation * (kernel - 1) + 1 + output_padding;   size of the result = full size - cuts
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["full_sizes", "transposed_pads", "transposed_sizes"]

Sizes = tuple[int | None, ...]


def transposed_pads(attrs: Mapping[str, Any], sizes: Sizes, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """Return the cuts (top, left, bottom, right).

    Args:
        attrs: of the node, every attribute present.
        sizes: height and width of the input.
        kernel: height and width of the kernel.

    Raises:
        ValueError: output_shape stands beside a symbolic size.
    """
    mode, wanted = attrs["auto_pad"], attrs["output_shape"]
    if mode == "VALID" and wanted is None:
        return (0, 0, 0, 0)
    if mode == "NOTSET" and wanted is None:
        return attrs["pads"] or (0, 0, 0, 0)
    before, after = [], []
    for axis, (size, full) in enumerate(zip(sizes, full_sizes(attrs, sizes, kernel), strict=True)):
        stride, extra = (attrs["strides"] or (1, 1))[axis], (attrs["output_padding"] or (0, 0))[axis]
        if wanted is None:  # SAME: the result has size * stride pixels
            total = (attrs["dilations"] or (1, 1))[axis] * (kernel[axis] - 1) + 1 + extra - stride
        elif size is None or full is None:
            raise ValueError("output_shape must be left out where the size is symbolic")
        else:
            total = full - wanted[-2:][axis]
        small, large = total // 2, total - total // 2  # an odd one: behind for SAME_UPPER, else in front
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return (*before, *after)


def transposed_sizes(attrs: Mapping[str, Any], sizes: Sizes, kernel: tuple[int, ...]) -> Sizes:
    """Return height and width of the result, None where symbolic.

    Raises:
        ValueError: nothing would be left, or as `transposed_pads`.
    """
    pads = transposed_pads(attrs, sizes, kernel)
    found = tuple(
        None if full is None else full - pads[axis] - pads[axis + 2]
        for axis, full in enumerate(full_sizes(attrs, sizes, kernel))
    )
    if any(size is not None and size < 1 for size in found):
        raise ValueError(f"pads must leave a pixel, not cut {pads}")
    return found


def full_sizes(attrs: Mapping[str, Any], sizes: Sizes, kernel: tuple[int, ...]) -> Sizes:
    """Return height and width before anything is cut, None where symbolic."""
    strides, dilations = (attrs[name] or (1, 1) for name in ("strides", "dilations"))
    extra = attrs["output_padding"] or (0, 0)
    return tuple(
        None if size is None else strides[i] * (size - 1) + dilations[i] * (kernel[i] - 1) + 1 + extra[i]
        for i, size in enumerate(sizes)
    )
