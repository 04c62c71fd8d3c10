# SPDX-License-Identifier: Apache-2.0
"""What ONNX Runtime computes, operator by operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnxruntime.capi import onnxruntime_pybind11_state as state

from bitlens.graph.execute import execute
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.rewrite import drop_dead
from bitlens.passes.fold_constants import constant_tensor, fold_constants
from bitlens.passes.lift_sequences import lift_sequences
from bitlens.passes.settle_layouts import expand_channels_last
from bitlens.qonnx.dialect import STANDARD_DOMAINS
from bitlens.qonnx.read import read

__all__ = ["assert_operators", "evaluate", "evaluate_node"]


REFUSALS = (
    *(state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented, state.RuntimeException),
    *(OverflowError, TypeError),  # of the one-node model
)


def evaluate(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    """The first output; nothing is fused, so every operator rounds as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, inputs)[0]
    return found


def evaluate_node(node: onnx.NodeProto, arrays: list[np.ndarray], opset: int) -> np.ndarray:
    """The first result of one node."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(filter(None, node.input), arrays, strict=True)
    ]
    outputs = [helper.make_empty_tensor_value_info(node.output[0])]
    model = helper.make_model(
        helper.make_graph([node], "one", inputs, outputs), opset_imports=[helper.make_opsetid("", opset)], ir_version=9
    )
    return evaluate(model, **dict(zip(filter(None, node.input), arrays, strict=True)))


def assert_operators(model: onnx.ModelProto, seed: int, *, lenient: bool = False) -> int:
    """Every operator that ONNX Runtime knows gives what reference arithmetic gives, for one random input; how many did.

    lenient: what it refuses is left out.
    """
    graph, count = read(model), 0
    drop_dead(graph)  # which may hold anything
    expand_channels_last(graph)
    folded = graph.copy()
    lift_sequences(folded)
    infer_shapes(folded)
    fold_constants(folded)
    rng = np.random.default_rng(seed)
    inputs = {}
    for name in graph.inputs:
        value = folded.value(name)
        shape = (2, *(size or 8 for size in (value.shape or ())[1:]))
        images = rng.random(shape, np.float32) if value.grid is None else value.grid.decode(rng.integers(0, 256, shape))
        inputs[name] = images.astype(np.float32)
    real = {name: tensor.real for name, tensor in execute(folded, inputs).items()} | graph.constants
    real |= {name: constant_tensor(folded, name).real for name in folded.constants}
    if any(len(graph.value(name).shape or ()) == 3 for name in graph.inputs):  # sequences were run as maps of height 1
        real = {name: array.squeeze(2) if array.ndim == 4 else array for name, array in real.items()}
    version = max([opset.version for opset in model.opset_import if opset.domain in STANDARD_DOMAINS], default=17)
    kinds: dict[str, np.dtype] = {}  # of codes, which reference arithmetic holds as real numbers
    for proto in model.graph.node:
        attrs = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
        dilated = "auto_pad" in attrs and max(attrs.get("dilations", [1])) > 1  # ONNX Runtime knows no such thing
        known = proto.domain in STANDARD_DOMAINS and onnx.defs.has(proto.op_type) and proto.op_type != "Constant"
        if not known or dilated:
            continue
        if any(tensor not in real for tensor in (*filter(None, proto.input), proto.output[0])):
            continue  # made of constants alone
        if proto.op_type == "QuantizeLinear":
            kinds[proto.output[0]] = real[proto.input[2]].dtype if len(proto.input) > 2 else np.dtype(np.uint8)
        elif proto.op_type != "DequantizeLinear" and proto.input[0] in kinds:
            kinds[proto.output[0]] = kinds[proto.input[0]]
        arrays = [real[tensor].astype(kinds.get(tensor, real[tensor].dtype)) for tensor in proto.input if tensor]
        try:
            wanted = evaluate_node(proto, arrays, version)
        except REFUSALS:
            if lenient:
                continue
            raise
        reach = max(1e-30, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
        if proto.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):  # whose float sums may cancel to almost 0
            reach = max(reach, float(np.prod([np.abs(array).max(initial=0) for array in arrays[:2]])))
        np.testing.assert_allclose(real[proto.output[0]], wanted, rtol=1e-4, atol=1e-5 * reach, err_msg=proto.op_type)
        count += 1
    return count
