# SPDX-License-Identifier: Apache-2.0
"""QONNX -> the form FINN works on: integer weights with a declared type, MultiThreshold for every activation.

FINN's own converter is not in a package registry; this one follows what it is documented to make: quantized weights become
integers, their scale a Mul behind the product; an activation quantizer becomes MultiThreshold, Mul and Add.
"""

from __future__ import annotations

import numpy as np
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.extract_conv_bias import ExtractBiasFromConv
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames, SortGraph
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

__all__ = ["to_finn"]

DOMAIN = "qonnx.custom_op.general"


class FormError(ValueError):
    """A quantizer that FINN's form has no words for."""


def to_finn(model: ModelWrapper) -> ModelWrapper:
    """Convert a cleaned model."""
    model = model.transform(GemmToMatMul()).transform(ExtractBiasFromConv()).transform(InferShapes())
    model = cleanup_model(model)
    for node in [*model.graph.node]:
        if node.op_type in ("Quant", "BipolarQuant"):
            if model.get_initializer(node.input[0]) is not None:
                _fold_weights(model, node)
            else:
                _to_thresholds(model, node)
        elif node.op_type not in ("Conv", "MatMul", "ConvTranspose") and "Quant" in node.op_type + node.domain:
            raise FormError(f"FINN's form has no {node.op_type}")
    for change in (SortGraph(), InferShapes(), GiveUniqueNodeNames(), GiveReadableTensorNames()):
        model = model.transform(change)
    return model


def _constant(model: ModelWrapper, array: np.ndarray) -> str:
    name = model.make_new_valueinfo_name()
    model.set_initializer(name, np.asarray(array, np.float32))
    return name


def _insert(model: ModelWrapper, before: object, op: str, x: str, constant: np.ndarray, y: str) -> None:
    node = helper.make_node(op, [x, _constant(model, constant)], [y])
    model.graph.node.insert([*model.graph.node].index(before), node)


def _fold_weights(model: ModelWrapper, node: object) -> None:
    """Integers in place of weights (a bias: real values), the scale behind the product."""
    scale = model.get_initializer(node.input[1])
    readers = model.find_consumers(node.output[0])
    context = {name: model.get_initializer(name) for name in node.input}
    getCustomOp(node).execute_node(context, model.graph)
    real = context[node.output[0]]
    linear = readers[0].op_type in ("Conv", "MatMul", "ConvTranspose")
    if linear and len(readers) > 1:
        raise FormError("FINN's form takes one reader of a weight")
    model.set_initializer(node.output[0], np.rint(real / scale).astype(np.float32) if linear else real)
    if linear:
        if node.op_type == "BipolarQuant":
            kind = "BIPOLAR"
        else:
            owner = getCustomOp(node)
            kind = owner.get_integer_datatype(model).name
        model.set_tensor_datatype(node.output[0], DataType[kind])
        (product,) = readers
        axis = 1 if product.op_type == "ConvTranspose" else 0
        if scale.size > 1:
            if product.op_type == "MatMul":
                scale = scale.reshape(1, -1)
            else:
                rank = len(model.get_tensor_shape(product.output[0]))
                scale = np.moveaxis(scale, axis, 0).reshape(1, -1, *[1] * (rank - 2))
        if not np.all(scale == 1):
            behind = model.make_new_valueinfo_name()
            result = product.output[0]
            product.output[0] = behind
            after = helper.make_node("Mul", [behind, _constant(model, scale)], [result])
            model.graph.node.insert([*model.graph.node].index(product) + 1, after)
    model.graph.node.remove(node)


def _to_thresholds(model: ModelWrapper, node: object) -> None:
    scale = model.get_initializer(node.input[1])
    if node.op_type == "BipolarQuant":
        thresholds, low, step, kind = np.zeros((1, 1)), -1.0, 2.0, "BIPOLAR"
    else:
        owner = getCustomOp(node)
        kind = owner.get_integer_datatype(model).name
        zero, mode = model.get_initializer(node.input[2]), owner.get_nodeattr("rounding_mode").upper()
        bits = float(model.get_initializer(node.input[3]))
        if np.any(zero != 0) or mode not in ("ROUND", "HALF_EVEN") or bits > 8:
            raise FormError("FINN's form takes zero points of 0, rounding to nearest and 8 bits")
        signed, narrow = owner.get_nodeattr("signed"), owner.get_nodeattr("narrow")
        low = float(-(2 ** (bits - 1)) + narrow if signed else 0)
        high = float(2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow)
        codes = np.arange(low, high)
        thresholds, step = (codes + 0.5) * scale.reshape(-1, 1), 1.0
    shape = model.get_tensor_shape(node.input[0])
    result = model.make_new_valueinfo_name()
    attrs = {"out_dtype": kind, "out_scale": step, "out_bias": low, "data_layout": "NCHW"[: len(shape)]}
    attrs["data_layout"] = {2: "NC", 3: "NCW", 4: "NCHW"}[len(shape)]
    threshold = helper.make_node(
        "MultiThreshold", [node.input[0], _constant(model, thresholds)], [result], domain=DOMAIN, **attrs
    )
    place = [*model.graph.node].index(node)
    model.graph.node.insert(place, threshold)
    model.graph.node.insert(place + 1, helper.make_node("Mul", [result, _constant(model, scale)], [node.output[0]]))
    model.graph.node.remove(node)
