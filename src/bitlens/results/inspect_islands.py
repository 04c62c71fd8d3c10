# SPDX-License-Identifier: Apache-2.0
"""What a program with float islands is made of: its integer layers, and what runs in float on the host."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import numpy as np

from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, Node
from bitlens.graph.islands import Island, IslandProgram
from bitlens.results.inspect import Report, aligned, file_lines, inspect_program, layer_lines

__all__ = ["inspect_islands", "render_islands"]

_Shapes = dict[str, tuple[int, ...]]


def inspect_islands(program: IslandProgram, size: tuple[int, int] | None = None) -> Report:
    """Describe a program with float islands.

    Args:
        program: any.
        size: height and width; without it sizes and multiplications of a symbolic program stay open.

    Returns:
        As `inspect_program`, of the integer parts alone, and {"islands": [{"region", "layers", "operators", "macs", "share",
        "reasons"}]}: the part's place, names, how many of each operator, multiplications an image, their share of the whole
        program's, and by layer why no integers can say it.

    Raises:
        SessionError: the size does not fit the program.
    """
    shapes = _border_shapes(program, size)
    layers: list[Report] = []
    islands: list[Report] = []
    for place, part in enumerate(program.parts):
        if isinstance(part, Program):
            layers += [{**layer, "region": place} for layer in inspect_program(part, _size(part, shapes))["layers"]]
        else:
            islands.append(_island(place, part, shapes))
    ours = [layer["macs"] for layer in layers]
    theirs = [island["macs"] for island in islands]
    known = None not in (*ours, *theirs)
    total = sum(ours) + sum(theirs) if known else 0
    for island in islands:
        island["share"] = island["macs"] / max(total, 1) if known else None
    return {
        "metadata": program.metadata,
        "bytes": len(program.to_bytes()),
        "float_bytes": 4 * sum(layer["weights"] for layer in layers)
        + sum(_float_bytes(one) for one in program.islands),
        "macs": sum(ours) if known else None,
        "bit_operations": sum(layer["bit_operations"] for layer in layers) if known else None,
        "layers": layers,
        "states": [],
        "islands": islands,
    }


def _border_shapes(program: IslandProgram, size: tuple[int, int] | None) -> _Shapes:
    """The shape (H, W, C) of every tensor that crosses a border; none while the size is open or the engine is not built."""
    if size is None and any(None in (value.shape or ())[1:] for value in program.inputs):
        return {}
    try:
        from bitlens.runtime import Session
    except ImportError:
        return {}
    session = Session(program, threads=1, size=size)
    images: dict[str, Any] = {
        name: np.zeros((0, *tensor.shape), np.float32 if tensor.grid is None else np.int32)
        for name, tensor in session.inputs.items()
    }
    return {name: array.shape[1:] for name, array in {**images, **session.run(images, keep=True)}.items()}


def _size(part: Program, shapes: _Shapes) -> tuple[int, int] | None:
    """Height and width of the symbolic inputs of an integer part."""
    for name in part.graph.inputs:
        if None in (part.graph.value(name).shape or ()) and name in shapes:
            return shapes[name][0], shapes[name][1]
    return None


def _island(place: int, island: Island, shapes: _Shapes) -> Report:
    graph = _with_shapes(island.graph, shapes)
    macs = [_macs(graph, node) for node in graph]
    return {
        "region": place,
        "layers": [node.name for node in graph],
        "operators": dict(Counter(node.op for node in graph)),
        "macs": None if None in macs else sum(count or 0 for count in macs),
        "share": None,
        "reasons": {**island.reasons},
    }


def _with_shapes(graph: Graph, shapes: _Shapes) -> Graph:
    """The island with the shapes that follow from those at its border, in the model's own order of axes."""
    from bitlens.graph.infer_shapes import infer_shapes

    sized = graph.copy()
    for name in graph.inputs:
        value = sized.value(name)
        if name in shapes and len(value.shape or ()) == 4:
            height, width, channels = shapes[name]
            sized.values[name] = value.with_(shape=(None, channels, height, width))
    infer_shapes(sized)
    return sized


def _macs(graph: Graph, node: Node) -> int | None:
    """Multiplications of an image; None where a size is open."""
    if node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    result = (graph.value(node.outputs[0]).shape or ())[1:]
    weights = graph.value(node.inputs[1]).shape or ()
    if node.op == "ConvTranspose":  # every input pixel meets every weight
        pixels = (graph.value(node.inputs[0]).shape or ())[2:]
        return None if None in pixels else prod(size or 1 for size in (*weights, *pixels))
    inner = weights[1:] if node.op == "Conv" else (weights[-1 if node.attrs.get("transB") else -2],)
    sizes = (*result, *inner)
    return None if None in sizes else prod(size or 1 for size in sizes)


def _float_bytes(island: Island) -> int:
    """Bytes of an island's weights, counted as float32."""
    arrays = [
        island.graph.constants[name] for node in island.graph for name in node.inputs if name in island.graph.constants
    ]
    return 4 * sum(array.size for array in {id(array): array for array in arrays}.values())


def render_islands(report: Report) -> str:
    """The report as text: integer layers, then one line an island and one a reason, then totals."""
    head = ["float on the host", "layers", "operators", "MAC", "share"]
    rows = [head]
    for island in report["islands"]:
        operators = ", ".join(f"{count} {op}" if count > 1 else op for op, count in island["operators"].items())
        macs = "?" if island["macs"] is None else f"{island['macs']:,}"
        share = "?" if island["share"] is None else f"{100 * island['share']:.1f} %"
        rows.append([f"region {island['region']}", ", ".join(island["layers"]), operators, macs, share])
    lines = [*layer_lines(report["layers"]), "", *aligned(rows)]
    for island in report["islands"]:
        lines += [f"{layer}: {reason}" for layer, reason in island["reasons"].items()]
    lines += ["", *file_lines(report)]
    if report["macs"] is not None:
        host = sum(island["macs"] for island in report["islands"])
        lines.append(f"per image: {report['macs']:,} MAC in integers, {host:,} in float on the host")
    return "\n".join(lines)
