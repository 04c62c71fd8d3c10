# SPDX-License-Identifier: Apache-2.0
"""A file by ONNX Runtime, as it is written: its outputs, or every tensor of it.

make.py records the outputs alone of large models. Where those differ, what lies between tells a tie from a fault.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

__all__ = ["inner_tensors", "run_outputs"]


def run_outputs(model: onnx.ModelProto, x: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Return name to one array an input of all outputs of a model, whose inputs run one by one, nothing fused."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    given = session.get_inputs()[0].name
    runs = [session.run(None, {given: one[None]}) for one in x]
    names = [output.name for output in session.get_outputs()]
    return {name: arrays for name, *arrays in zip(names, *runs, strict=True)}


def inner_tensors(path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return name to array of all tensors of an ONNX file whose first axis is the batch, for inputs one by one."""
    model = onnx.load(path)
    named = {output.name for output in model.graph.output}
    for node in model.graph.node:
        if node.op_type != "Constant":
            model.graph.output.extend(
                onnx.ValueInfoProto(name=name) for name in node.output if name and name not in named
            )
    found = run_outputs(model, x)
    return {name: np.concatenate(arrays) for name, arrays in found.items() if np.shape(arrays[0])[:1] == (1,)}
