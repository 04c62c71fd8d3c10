# SPDX-License-Identifier: Apache-2.0
"""Build, export and run every model of the zoo with the public tools; runs in the environment that holds those.

    .venv-interop/bin/python benchmarks/interop/make.py OUT [--only TEXT]

Writes OUT/<model>.<form>.onnx, OUT/<model>.<form>.npz (inputs x, qonnx's every tensor, ONNX Runtime's outputs) and
OUT/made.json: what could not be exported or run, and why; OUT/models.json: all names. Files exchange everything; bitlens is
never imported.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from forms import FORMS, LARGE_FORMS
from ort import run_outputs
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from zoo import MODELS, Model
from zoo.model import prepare

SAMPLES = 3
KEPT = 4_000_000  # numbers; larger nets keep their outputs only


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--forms", nargs="*", default=[*FORMS], help="of these forms alone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    models = [model for model in MODELS if options.only in model.name]
    (options.out / "models.json").write_text(json.dumps([model.name for model in MODELS]))
    record = options.out / "made.json"
    made = json.loads(record.read_text()) if record.exists() else {}
    for place, model in enumerate(models, start=1):
        start = time.monotonic()
        made[model.name] = {"what": model.what, "forms": _make(model, options.out, options.forms)}
        record.write_text(json.dumps(made, indent=1))
        states = [f"{form}: {state}" if state != "ok" else form for form, state in made[model.name]["forms"].items()]
        print(
            f"make {place}/{len(models)} {model.name} {time.monotonic() - start:.0f} s: {', '.join(states)}"[:400],
            flush=True,
        )


def _make(model: Model, out: Path, forms: list[str]) -> dict[str, str]:
    for stale in out.glob(f"{model.name}.*"):
        stale.unlink()
    try:
        net = prepare(model)
    except Exception as error:
        return {"build": _reason(error)}
    inputs = model.draw(SAMPLES, torch.Generator().manual_seed(1))
    states = {}
    for form in [form for form in (LARGE_FORMS if model.large else FORMS) if form in forms]:
        path = out / f"{model.name}.{form}.onnx"
        try:
            FORMS[form](model, net, inputs[:1], path)
        except FileNotFoundError:
            states[form] = "the form it is made of is not there"
            continue
        except Exception as error:
            path.unlink(missing_ok=True)
            states[form] = f"not exported: {_reason(error)}"
            continue
        arrays: dict[str, np.ndarray] = {}
        try:
            arrays, states[form] = _run(path, inputs.numpy()), "ok"
            if form.startswith("qcdq"):  # operators of ONNX alone
                found = run_outputs(onnx.load(path), inputs.numpy())
                arrays |= {f"o:{output}": np.concatenate(each) for output, each in found.items()}
        except Exception as error:
            states[form] = f"not run: {_reason(error)}"
        np.savez(path.with_suffix(".npz"), x=inputs.numpy(), **arrays)
    return states


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}"


def _run(path: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor, or of a large net every output, by qonnx's executor: "q:" and its name."""
    model = ModelWrapper(str(path)).transform(InferShapes())
    constants = {tensor.name for tensor in model.graph.initializer}
    (name,) = [value.name for value in model.graph.input if value.name not in constants]
    outputs = {value.name for value in model.graph.output}
    found: dict[str, list[np.ndarray]] = {}
    for one in inputs:
        context = execute_onnx(model, {name: one[None]}, return_full_exec_context=True)
        for tensor, array in context.items():
            if tensor not in constants and array is not None:
                found.setdefault(f"q:{tensor}", []).append(array)
    if sum(array.size for arrays in found.values() for array in arrays) > KEPT:
        found = {key: arrays for key, arrays in found.items() if key[2:] in outputs}
    return {key: np.concatenate(arrays) for key, arrays in found.items() if arrays[0].ndim}


if __name__ == "__main__":
    sys.exit(main())
