# SPDX-License-Identifier: Apache-2.0
"""Compile every file that make.py wrote, run it, and compare; runs in bitlens' own environment.

    .venv/bin/python benchmarks/interop/check.py OUT [--only TEXT]

Writes OUT/checked.json. A file is `exact`, `ties` (see judge.py), `refused` with the sentence, or `wrong`, which must not happen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from judge import judge
from ort import inner_tensors

import bitlens
from bitlens.compiler import CompileError
from bitlens.core.inputs import to_integers
from bitlens.graph.execute import execute
from bitlens.graph.graph import Graph
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.interpret import interpret
from bitlens.passes.fold_constants import fold_constants
from bitlens.qonnx.read import read


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    record = options.out / "checked.json"
    checked = json.loads(record.read_text()) if record.exists() else {}
    paths = [path for path in sorted(options.out.glob("*.npz")) if options.only in path.name]
    for place, path in enumerate(paths, start=1):
        start = time.monotonic()
        result = checked[path.stem] = _check(path)
        record.write_text(json.dumps(checked, indent=1))
        text = ", ".join(f"{key} {value}" for key, value in result.items())
        print(f"check {place}/{len(paths)} {path.stem} {time.monotonic() - start:.0f} s: {text}"[:500], flush=True)
    states = Counter(result["state"] for name, result in checked.items() if options.only in name)
    print(", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    return 1 if states["wrong"] else 0


def _check(path: Path) -> dict[str, Any]:
    graphs: dict[str, Graph] = {}

    def observe(name: str, graph: Graph) -> None:
        if name in ("settle_layouts", "find_grids"):
            graphs[name] = graph.copy()

    try:
        program = bitlens.compile(path.with_suffix(".onnx"), observe=observe)
    except CompileError as error:
        return {"state": "refused", "why": str(error)}
    except Exception as error:
        return {"state": "wrong", "why": f"crash: {type(error).__name__}: {error}"}
    with np.load(path) as arrays:
        theirs = dict(arrays)
    x = theirs.pop("x")
    session = bitlens.Session(program, threads=1)
    (tensor,) = session.inputs.values()
    given = np.moveaxis(x, 1, -1).reshape(len(x), *tensor.shape)
    integers = to_integers(tensor.name, given, tensor.grid, tensor.scale, tensor.offset, tensor.rounding)
    golden = interpret(program.graph, {tensor.name: np.asarray(integers, np.int64)})
    engine, real = session.run(given), session.run(given, real=True)
    for name, array in engine.items():
        if not np.array_equal(array, golden[name]):
            return {"state": "wrong", "why": f"{name}: engine and golden differ"}

    imported = graphs["settle_layouts"]
    fold_constants(imported)
    infer_shapes(imported)
    (name,) = imported.inputs
    shape = imported.value(name).shape or ()
    reference = execute(
        imported, {name: x.reshape(len(x), *[size or 1 for size in shape[1:]]) if None not in shape[1:] else x}
    )
    outputs, raw = graphs["find_grids"].outputs, read(path.with_suffix(".onnx"))
    result: dict[str, Any] = {"state": "exact", "codes": 0, "reference": 0, "peer": 0}
    for output, ours, end in zip(outputs, real, raw.outputs, strict=True):
        unit = np.abs(session.outputs[ours].scale)
        result["codes"] += real[ours].size
        result["reference"] += _differing(real[ours], _last(reference[output].real), unit)
        peer = next((theirs[name] for name in (f"q:{output}", f"o:{output}") if name in theirs), None)
        if peer is None and not program.graph.metadata.get("tail"):  # the compiler has renamed the output
            peer = next((theirs[name] for name in (f"q:{end}", f"o:{end}") if name in theirs), None)
        result["peer"] = (
            None
            if peer is None or result["peer"] is None
            else result["peer"] + _differing(real[ours], _last(peer), unit)
        )
        direct = theirs.get(f"o:{output}")
        if direct is not None:
            result["onnxruntime"] = result.get("onnxruntime", 0) + _differing(real[ours], _last(direct), unit)
    if result["reference"]:
        result["state"] = "wrong"
    elif result["peer"] is None:
        result["state"] = "unjudged"
    elif "channels-last" in path.name:  # the layers' tensors are not ours: outputs alone
        result["state"] = "apart" if result["peer"] else "exact"
    else:
        judged = judge(imported, reference, {key[2:]: array for key, array in theirs.items() if key.startswith("q:")})
        if judged["faults"] and "onnxruntime" in result:
            judged = judge(imported, reference, inner_tensors(path.with_suffix(".onnx"), x))
        result |= judged
        if judged["faults"]:
            result["state"] = "wrong"
        elif result["peer"]:
            result["state"] = "ties" if judged["ties"] else "wrong"
    return result


def _last(array: np.ndarray) -> np.ndarray:
    """An array of the model as our outputs are: (N, H, W, C)."""
    if array.ndim == 2:
        return array[:, None, None, :]
    if array.ndim == 3:
        return array.transpose(0, 2, 1)[:, None]
    return array.transpose(0, 2, 3, 1)


def _differing(ours: np.ndarray, theirs: np.ndarray, unit: np.ndarray) -> int:
    """How many codes differ: values more than half a unit (and what float32 sums lose) apart."""
    if ours.shape != theirs.shape:
        theirs = theirs.reshape(ours.shape)
    room = unit / 2 + 2e-6 * np.abs(theirs).max(initial=0)
    return int(np.sum(~(np.abs(ours.astype(np.float64) - theirs) <= room)))


if __name__ == "__main__":
    sys.exit(main())
