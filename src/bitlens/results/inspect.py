# SPDX-License-Identifier: Apache-2.0
"""What a program is made of: per layer its op, shapes, grids, bits, bytes, bit operations and kernel."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bitlens.core.grid import Grid
from bitlens.core.planes import plane_bytes
from bitlens.graph.encode import shared_payloads, table_bytes
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, GraphError, Node, State

__all__ = ["Report", "aligned", "file_lines", "inspect_program", "layer_lines", "parse_size", "render"]

Report = dict[str, Any]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read "480x640" as (480, 640).

    Raises:
        GraphError: the text is something else.
    """
    if text is None:
        return None
    match = re.fullmatch("0*([1-9][0-9]{0,9})x0*([1-9][0-9]{0,9})", text, re.IGNORECASE)
    if match is None:
        raise GraphError(f"size: must be HEIGHTxWIDTH such as 480x640, not {text}")
    return int(match[1]), int(match[2])


def inspect_program(program: Program, size: tuple[int, int] | None = None) -> Report:
    """Describe a program.

    Args:
        program: any.
        size: height and width; without it sizes and kernels of a symbolic program stay open.

    Returns:
        {"metadata", "bytes", "float_bytes", "macs", "bit_operations", "layers": [one dict a layer], "inputs": [one dict
        an input], "states": [one dict a state of a recurrent program]}, ready for JSON.
        A layer "shares" the weights or tables of the earlier layer of that name, and they count once.
        A bit operation is one product of a weight bit and an activation bit: macs * W * A.

    Raises:
        SessionError: the size does not fit the program.
    """
    graph = program.graph
    symbolic = any(None in (graph.value(name).shape or ()) for name in graph.inputs)
    kernels = {} if symbolic and size is None else _kernels(program, size)
    sized, shared = _with_size(graph, size), shared_payloads(graph)
    layers = [_layer(graph, sized, node, kernels.get(node.name, "")) for node in graph]
    for layer in layers:
        layer["shares"] = shared.get(layer["name"], "")
        layer["bytes"] *= not layer["shares"]
    known = [layer for layer in layers if layer["macs"] is not None]
    return {
        "metadata": program.metadata,
        "bytes": len(program.to_bytes()),
        "float_bytes": 4 * sum(layer["weights"] for layer in layers if not layer["shares"]),
        "macs": sum(layer["macs"] for layer in known) if sized else None,
        "bit_operations": sum(layer["bit_operations"] for layer in known) if sized else None,
        "layers": layers,
        "inputs": [_input(graph, name) for name in graph.inputs],
        "states": [_state(graph, state) for state in graph.states],
    }


def _input(graph: Graph, name: str) -> Report:
    value = graph.value(name)
    return {"name": name, "shape": [*(value.shape or ())], "grid": str(value.grid), "multiples": [*value.multiples]}


def _state(graph: Graph, state: State) -> Report:
    value = graph.value(state.input)
    numbers = np.unique(state.initial)
    return {
        "input": state.input,
        "output": state.output,
        "shape": [*(value.shape or ())],
        "grid": str(value.grid),
        "initial": [int(numbers.min()), int(numbers.max())],
    }


def _with_size(graph: Graph, size: tuple[int, int] | None) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, empty where it stays symbolic."""
    from bitlens.graph.ops import describe_outputs

    sized = graph.copy()
    for name in sized.inputs:
        value = sized.value(name)
        height, width, channels = value.shape or ()
        if (height is None or width is None) and size is None:
            return {}
        fixed = (height or (size or (0, 0))[0], width or (size or (0, 0))[1], channels)
        sized.values[name] = value.with_(shape=fixed)
    for node in sized:
        shape, _ = describe_outputs(sized, node)
        sized.values[node.output] = sized.value(node.output).with_(shape=shape)
    return {name: tuple(size or 0 for size in value.shape or ()) for name, value in sized.values.items()}


def _kernels(program: Program, size: tuple[int, int] | None) -> dict[str, str]:
    """Which kernel the engine runs for each op here; empty where the engine is not built."""
    try:
        from bitlens.runtime import Session
    except ImportError:
        return {}
    session = Session(program, threads=1, size=size)
    return {layer.name: layer.kernel for layer in session.layers}


def _layer(graph: Graph, sized: dict[str, tuple[int, ...]], node: Node, kernel: str) -> Report:
    operand, result = graph.value(node.inputs[0]), graph.value(node.output)
    report: Report = {
        "name": node.name,
        "op": node.op,
        "input": list(sized.get(operand.name) or operand.shape or ()),
        "output": list(sized.get(result.name) or result.shape or ()),
        "input_grid": str(operand.grid),
        "output_grid": str(result.grid),
        "weight_grid": "",
        "weights": 0,
        "bytes": _payload_bytes(node),
        "macs": 0 if sized else None,
        "bit_operations": 0 if sized else None,
        "kernel": kernel,
    }
    if node.op == "lookup":
        report |= {"weight_grid": str(node.attrs["table_grid"]), "weights": int(node.attrs["table"].size)}
    if node.op == "conv":
        weights, grid = node.attrs["weights"], node.attrs["weight_grid"]
        report |= {"weight_grid": str(grid), "weights": int(weights.size)}
        if sized:
            height, width, _ = sized[result.name]
            report["macs"] = int(weights.size) * height * width
            report["bit_operations"] = report["macs"] * grid.bits * _bits(operand.grid)
    return report


def _bits(grid: Grid | None) -> int:
    return grid.bits if grid is not None else 32


def _payload_bytes(node: Node) -> int:
    """Bytes of an op's weights or tables in the file, without its few bytes of description."""
    if node.op == "conv":
        grid: Grid = node.attrs["weight_grid"]
        bias = 0 if node.attrs["bias"] is None else 4 * len(node.attrs["bias"])
        return grid.bits * plane_bytes(int(node.attrs["weights"].size)) + bias
    if node.op == "lookup":
        table: Grid = node.attrs["table_grid"]
        return table.bits * plane_bytes(int(node.attrs["table"].size))
    if node.op == "steps":
        return table_bytes(node)
    return 13 * len(node.attrs["multiplier"]) if node.op == "rescale" else 0


def render(report: Report) -> str:
    """The report as text: one line a layer, then totals."""
    lines = layer_lines(report["layers"])
    for entry in report["inputs"]:
        if None in entry["shape"]:
            down, across = entry["multiples"]
            rule = f", height a multiple of {down} and width of {across}" if (down, across) != (1, 1) else ""
            lines.append(f"input: {entry['name']} of any size{rule}")
    for state in report["states"]:
        low, high = state["initial"]
        begin = str(low) if low == high else f"{low}..{high}"
        lines.append(
            f"state: {state['output']} is {state['input']} of the next step, {_shape(state['shape'])} {state['grid']}, "
            f"at first {begin}"
        )
    lines += file_lines(report)
    if report["macs"] is not None:
        lines.append(f"per image: {report['macs']:,} MAC, {report['bit_operations']:,} bit operations (MAC * W * A)")
    return "\n".join(lines)


def layer_lines(layers: list[Report]) -> list[str]:
    """A table of integer layers, one line a layer."""
    head = [
        "layer",
        "op",
        "input",
        "output",
        "weights",
        "grids w, in -> out",
        "bytes",
        "MAC",
        "bit operations",
        "kernel",
    ]
    rows = [head]
    for layer in layers:
        weights = f"{layer['weight_grid']}, " if layer["weight_grid"] else ""
        rows.append(
            [
                layer["name"],
                layer["op"],
                _shape(layer["input"]),
                _shape(layer["output"]),
                f"{layer['weights']:,}" if layer["weights"] else "",
                f"{weights}{layer['input_grid']} -> {layer['output_grid']}",
                f"as {layer['shares']}" if layer["shares"] else f"{layer['bytes']:,}" if layer["bytes"] else "",
                f"{layer['macs']:,}" if layer["macs"] else "",
                f"{layer['bit_operations']:,}" if layer["bit_operations"] else "",
                layer["kernel"],
            ]
        )
    return aligned(rows)


def aligned(rows: list[list[str]]) -> list[str]:
    """Rows of a table as lines, cells filled to the width of their column."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def file_lines(report: Report) -> list[str]:
    """The metadata, labels left out, and the size of the file."""
    lines = []
    for key, text in report["metadata"].items():
        if key != "classes":
            lines += [f"{key}: {line}" for line in text.splitlines()]
    lines.append(
        f"file: {report['bytes']:,} bytes; float32 weights would be {report['float_bytes']:,} "
        f"({report['float_bytes'] / report['bytes']:.1f}x)"
    )
    return lines


def _shape(shape: list[int | None]) -> str:
    return "x".join("?" if size is None else str(int(np.int64(size))) for size in shape)
