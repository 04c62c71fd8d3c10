# SPDX-License-Identifier: Apache-2.0
"""Sliding windows in front of convolutions and pools."""

from __future__ import annotations

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.network import Stream
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["add_whole_windows", "add_windows", "has_windows"]


def has_windows(node: Node, height: int, width: int) -> bool:
    """Whether a layer needs a window unit in front: not where a window is one pixel, or the whole image."""
    (kh, kw), dilation = node.attrs["kernel"], node.attrs["dilation"]
    pixel = (kh, kw, *node.attrs["stride"]) == (1, 1, 1, 1)
    return any(node.attrs["pads"]) or not (pixel or (kh, kw, *dilation) == (height, width, 1, 1))


def add_windows(circuit: Circuit, node: Node, stream: Stream, fill: int, *, column: bool = False) -> Stream:
    """Windows of an image, tap by tap; no element where each is one pixel, or the whole image.

    Args:
        fill: the integer that stands outside the image.
        column: all taps of a column in one beat, which then is as many times wider as the kernel is high; the channels of
            the result are ordered (kernel width, folds, kernel height, lanes).
    """
    height, width, _ = stream.shape
    if not has_windows(node, height, width):
        return stream
    attrs = node.attrs
    out = fixed_size(node.name, circuit.graph.value(node.output).shape)
    return _window(
        circuit, node, stream, fill, attrs["kernel"], (attrs["stride"][1], attrs["dilation"][1]), out[:2], column
    )


def _window(
    circuit: Circuit,
    node: Node,
    stream: Stream,
    fill: int,
    kernel: tuple[int, int],
    side: tuple[int, int],
    out: tuple[int, int],
    column: bool,
) -> Stream:
    """The element: so many windows, with a stride and a dilation to the side."""
    attrs = node.attrs
    (kh, kw), (sw, dw), sh, dh = kernel, side, attrs["stride"][0], attrs["dilation"][0]
    top, left, _, _ = attrs["pads"]
    height, width, channels = stream.shape
    mask = (1 << stream.bits) - 1
    parameters = {
        "HEIGHT": height,
        "WIDTH": width,
        "FOLDS": stream.folds,
        "BEAT": stream.width,
        "KERNEL_H": kh,
        "KERNEL_W": kw,
        "STRIDE_H": sh,
        "STRIDE_W": sw,
        "DILATION_H": dh,
        "DILATION_W": dw,
        "PAD_TOP": top,
        "PAD_LEFT": left,
        "OUT_HEIGHT": out[0],
        "OUT_WIDTH": out[1],
        "ROWS": dh * (kh - 1) + 1 + sh,
        "COLUMN": int(column),
        "FILL": sum((fill & mask) << (lane * stream.bits) for lane in range(stream.lanes)),
    }
    shape = (out[0], out[1], kh * kw * channels)
    lanes = stream.lanes * (kh if column else 1)
    return circuit.add("window", node.name, parameters, stream, layer=node.name, shape=shape, lanes=lanes)


def add_whole_windows(circuit: Circuit, node: Node, stream: Stream, fill: int) -> Stream:
    """Windows of an image, each in one beat; no element where each is one pixel.

    Args:
        stream: whole pixels.
        fill: the integer that stands outside the image.

    Returns:
        Beats ordered (kernel width, kernel height, channels).
    """
    height, width, channels = stream.shape
    if not has_windows(node, height, width):
        return stream
    (kh, kw), (_, sw), (_, dw) = node.attrs["kernel"], node.attrs["stride"], node.attrs["dilation"]
    out = fixed_size(node.name, circuit.graph.value(node.output).shape)
    columns = (out[1] - 1) * sw + (kw - 1) * dw + 1  # that a row of windows reads
    stream = _window(circuit, node, stream, fill, (kh, 1), (1, 1), (out[0], columns), column=True)
    parameters = {"BEAT": stream.width, "COLUMNS": columns, "KERNEL": kw, "STRIDE": sw, "DILATION": dw}
    shape = (out[0], out[1], kh * kw * channels)
    cycles = out[0] * columns
    return circuit.add(
        "slide", node.name, parameters, stream, layer=node.name, shape=shape, lanes=shape[2], cycles=cycles
    )
