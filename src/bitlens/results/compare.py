# SPDX-License-Identifier: Apache-2.0
"""Where two forms of a model differ: the first layer and code, and how many in all.

Two compiled forms are compared tensor by tensor. A trained net is compared layer by layer: each of its layers is fed
golden's integers, and the integers that the next layer makes of its answer must be golden's. A difference is a tie when
the real number before the quantizer lies within 4 float32 ulps of the boundary between the two codes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program
from bitlens.graph.graph import Node
from bitlens.results.forms import Form, open_form

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CompareError", "compare_forms", "compare_net", "compare_runs", "render"]

Report = dict[str, Any]
_TIE_ULPS = 4
_BATCH = 100
_BACKENDS = ("golden", "portable", "avx2", "avx512", "neon")


class CompareError(ValueError):
    """Two forms that have nothing to compare."""


def compare_forms(one: str, other: str, images: npt.NDArray[Any], threads: int | None = None) -> Report:
    """Compare two forms on a batch of images.

    Args:
        one, other: a run's folder, or a `.bitlens` path, optionally with ":golden", ":portable", ":avx2", ...
        images: (N, H, W, C).

    Returns:
        {"layers": [{"name", "codes", "differing", "ties", "first"}], "codes", "differing", "ties"}

    Raises:
        CompareError: both are runs, one is no form, or the two have no layer in common.
    """
    folders = [Path(form).is_dir() for form in (one, other)]
    if all(folders):
        raise CompareError(f"diff: one of the two must be a .bitlens program, not two runs, {one} and {other}")
    if any(folders):
        from bitlens.results.line import frozen_run

        run, model = (one, other) if folders[0] else (other, one)
        return compare_net(frozen_run(run), Program.load(_split(model)[0]), images)
    return compare_runs(_open(one, threads), _open(other, threads), images)


def _split(form: str) -> tuple[str, str]:
    path, colon, backend = form.rpartition(":")
    if not colon or Path(form).exists():
        return form, ""
    if backend not in _BACKENDS:
        raise CompareError(f"{path}: form must be one of {', '.join(_BACKENDS)}, not {backend}")
    return path, backend


def _open(form: str, threads: int | None) -> Form:
    path, backend = _split(form)
    if backend == "golden":
        return open_form(path, backend="golden")
    return open_form(path, threads=threads, isa=backend or None)


def compare_runs(one: Form, other: Form, images: npt.NDArray[Any]) -> Report:
    """Compare every tensor that both forms give, of recurrent programs the outputs."""
    rows: dict[str, Report] = {}
    keep = not (one.recurrent or other.recurrent)
    for begin in range(0, len(images), _BATCH):
        batch = images[begin : begin + _BATCH]
        ours, theirs = one.run(batch, keep=keep), other.run(batch, keep=keep)
        for name in ours:
            if name in theirs:
                _count(rows, name, ours[name], theirs[name], begin)
    if not rows:
        raise CompareError("diff: the two forms must have a layer in common")
    return _report(rows)


def _count(
    rows: dict[str, Report],
    name: str,
    ours: npt.NDArray[Any],
    theirs: npt.NDArray[Any],
    begin: int,
    ties: npt.NDArray[np.bool_] | None = None,
) -> None:
    row = rows.setdefault(name, {"name": name, "codes": 0, "differing": 0, "ties": 0, "first": None})
    row["codes"] += int(ours.size)
    if ours.shape != theirs.shape:
        raise CompareError(f"{name}: shapes must be equal, not {ours.shape} and {theirs.shape}")
    wrong = ours != theirs
    if not wrong.any():
        return
    row["differing"] += int(wrong.sum())
    row["ties"] += 0 if ties is None else int((wrong & ties).sum())
    if row["first"] is None:
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        row["first"] = {"at": [at[0] + begin, *at[1:]], "one": ours[at].item(), "other": theirs[at].item()}


def _report(rows: dict[str, Report]) -> Report:
    layers = [*rows.values()]
    totals = {key: sum(layer[key] for layer in layers) for key in ("codes", "differing", "ties")}
    return {"layers": layers, **totals}


def compare_net(net: nn.Module, program: Program, images: npt.NDArray[np.uint8]) -> Report:
    """Compare a frozen torch net with golden, layer by layer, each layer fed golden's integers."""
    if program.graph.states:
        raise CompareError("diff: a trained recurrent net is compared word by word; bitlens eval --exact --run RUN")
    if images.dtype != np.uint8:
        raise CompareError(f"diff: images for a trained net must be uint8, not {images.dtype}")
    import torch

    from bitlens.nn.layer import QuantLayer
    from bitlens.quant.base import InputQuantizer
    from bitlens.results.line import to_batch

    convs = [node for node in program.graph if node.op == "conv"]
    layers = [
        (name, layer)
        for name, layer in net.named_modules()
        if isinstance(layer, QuantLayer) and isinstance(layer.input_quantizer, InputQuantizer)
    ]
    if len(convs) != len(layers):
        raise CompareError(
            f"diff: the net must have as many layers as the program has convs, not {len(layers)} and {len(convs)}"
        )
    order: list[str] = []
    golden: dict[str, npt.NDArray[np.int64]] = {}
    rows: dict[str, Report] = {}
    start = 0

    def feed(name: str, layer: QuantLayer, x: torch.Tensor) -> torch.Tensor:
        """Compare what the layer makes of x with golden's integers, and pass those on."""
        if name not in order:
            order.append(name)
        node = convs[order.index(name)]
        quantizer = layer.input_quantizer
        assert isinstance(quantizer, InputQuantizer)
        integers, scale = quantizer.codes(x)
        source = _read_by_layer(program, node)
        want = _as_torch(golden[source], x.dim())
        got = integers.numpy().astype(np.int64)
        ties = _near_boundary((quantizer.bounded(x) / scale).numpy(), got, want) if got.shape == want.shape else None
        _count(rows, f"{source} -> {name}", want, got, start, ties)
        return torch.from_numpy(want).float() * scale

    hooks = [
        layer.register_forward_pre_hook(lambda module, args, name=name, layer=layer: (feed(name, layer, args[0]),))
        for name, layer in layers
    ]
    try:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            golden = {program.graph.inputs[0]: batch.astype(np.int64)} | program.run(batch, keep=True)
            with torch.no_grad():
                scores = net(to_batch(batch)).numpy()
            _count_outputs(rows, program, golden, scores, start)
    finally:
        for hook in hooks:
            hook.remove()
    return _report(rows)


def _read_by_layer(program: Program, conv: Node) -> str:
    """What the layer of a conv quantizes: a transposed one inserts its zeros behind that."""
    source = program.graph.producer(conv.inputs[0])
    return source.inputs[0] if source is not None and source.op == "upsample" else conv.inputs[0]


def _as_torch(integers: npt.NDArray[np.int64], rank: int) -> npt.NDArray[np.int64]:
    """(N, H, W, C) as torch holds it: (N, C, H, W), or (N, C*H*W) for a linear layer."""
    nchw = np.ascontiguousarray(integers.transpose(0, 3, 1, 2))
    return nchw.reshape(len(nchw), -1) if rank == 2 else nchw


def _near_boundary(
    v: npt.NDArray[np.float32], got: npt.NDArray[np.int64], want: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether v, in units of the grid, lies within 4 ulps of the boundary between two neighbouring codes."""
    boundary = (np.minimum(got, want) + 0.5).astype(np.float32)
    ulp = np.spacing(np.maximum(np.abs(v), np.abs(boundary)))
    return np.asarray((np.abs(got - want) == 1) & (np.abs(v - boundary) <= _TIE_ULPS * ulp))


def _count_outputs(
    rows: dict[str, Report],
    program: Program,
    golden: dict[str, npt.NDArray[np.int64]],
    scores: npt.NDArray[np.float32],
    start: int,
) -> None:
    """Compare the first output's integers, which a net with a float offset has only as real numbers."""
    graph = program.graph
    value = graph.value(graph.outputs[0])
    name = graph.output_names.get(value.name, value.name)
    want = _as_torch(golden[name], scores.ndim)
    across = (-1, *[1] * (scores.ndim - 2))
    scale, offset = (array.astype(np.float64).reshape(across) for array in (value.scale, value.offset))
    got = np.rint((scores.astype(np.float64) - offset) / scale).astype(np.int64)
    _count(rows, f"{name} (output)", want, got, start)


def render(report: Report) -> str:
    """The report as text; ends with the line "N differing codes"."""
    lines = []
    for layer in report["layers"]:
        line = f"{layer['name']}: {layer['differing']:,} of {layer['codes']:,} codes differ"
        if layer["ties"]:
            line += f", {layer['ties']:,} of them ties"
        if layer["first"]:
            line += f"; first at {layer['first']['at']}: {layer['first']['one']} and {layer['first']['other']}"
        lines.append(line)
    first = next((layer for layer in report["layers"] if layer["differing"]), None)
    if first is not None:
        lines.append(f"first difference: {first['name']}")
    ties = f" ({report['ties']:,} ties)" if report["ties"] else ""
    lines.append(f"{report['differing']:,} differing codes of {report['codes']:,}{ties}")
    return "\n".join(lines)
