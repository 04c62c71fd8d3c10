# SPDX-License-Identifier: Apache-2.0
"""What ONNX Runtime computes for a model, operator by operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

__all__ = ["evaluate"]


def evaluate(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """The first output; nothing is fused, so every operator rounds as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, inputs)[0]
    return found
