# SPDX-License-Identifier: Apache-2.0
"""What is legal at each stage of the compiler.

- imported: ONNX and QONNX operators as the model file has them, tensors in the model's own order;
- quantized: integer operators on integer tensors, joined by `chain` nodes that hold the float operators between them;
- integer: the operators of `ops.py` alone, channels last.

The pipeline calls `check_stage` where it enters and leaves a stage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitlens.core.reference import ends_in_codes
from bitlens.graph.graph import Graph, GraphError, Node
from bitlens.graph.ops import INTEGER_OPS, describe_outputs

__all__ = ["IMPORTED_OPS", "REQUIRED", "TAIL_OPS", "CompileError", "ImportedOp", "check_stage"]


class CompileError(GraphError):
    """A model that is refused: "<layer>: <thing> must be <rule>, not <value>; <remedy>"."""


REQUIRED = object()  # stands where an attribute has no default


@dataclass(frozen=True)
class ImportedOp:
    """One row of the table of operators that may come in.

    Args:
        operands: least and most inputs.
        attrs: default by attribute name; `REQUIRED` where there is none, None where it follows from the shapes.
    """

    operands: tuple[int, int]
    attrs: Mapping[str, Any] = field(default_factory=dict)


def _op(least: int, most: int | None = None, **attrs: Any) -> ImportedOp:
    return ImportedOp((least, least if most is None else most), attrs)


_WINDOW: dict[str, Any] = {"auto_pad": "NOTSET", "dilations": None, "pads": None, "strides": None}
_POOL: dict[str, Any] = {**_WINDOW, "kernel_shape": REQUIRED, "ceil_mode": 0}

IMPORTED_OPS: dict[str, ImportedOp] = {
    # quantizers
    "Quant": _op(4, signed=REQUIRED, narrow=REQUIRED, rounding_mode="ROUND"),
    "BipolarQuant": _op(2),
    "Trunc": _op(5, 6, rounding_mode="FLOOR", signed=1, narrow=0),
    "MultiThreshold": _op(2, out_dtype="", out_scale=1.0, out_bias=0.0, data_layout=None),
    "QuantizeLinear": _op(2, 3, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1),
    "DequantizeLinear": _op(2, 3, axis=1, block_size=0, output_dtype=0),
    "QLinearConv": _op(8, 9, **_WINDOW, group=1, kernel_shape=None),
    "QLinearMatMul": _op(8),
    "ConvInteger": _op(2, 4, **_WINDOW, group=1, kernel_shape=None),
    "MatMulInteger": _op(2, 4),
    # products
    "Conv": _op(2, 3, **_WINDOW, group=1, kernel_shape=None),
    "ConvTranspose": _op(2, 3, **_WINDOW, group=1, kernel_shape=None, output_padding=None, output_shape=None),
    "Gemm": _op(2, 3, alpha=1.0, beta=1.0, transA=0, transB=0),
    "MatMul": _op(2),
    # one number at a time
    "BatchNormalization": _op(5, epsilon=1e-5, momentum=0.9, training_mode=0),
    "Mul": _op(2),
    "Add": _op(2),
    "Sub": _op(2),
    "Div": _op(2),
    "Neg": _op(1),
    "Abs": _op(1),
    "Relu": _op(1),
    "LeakyRelu": _op(1, alpha=0.01),
    "PRelu": _op(2),
    "Clip": _op(1, 3),
    "Sigmoid": _op(1),
    "Tanh": _op(1),
    "HardTanh": _op(1, min_val=-1.0, max_val=1.0),
    "HardSigmoid": _op(1, alpha=0.2, beta=0.5),
    "Sign": _op(1),
    "Celu": _op(1, alpha=1.0),
    "Elu": _op(1, alpha=1.0),
    "Erf": _op(1),
    "Gelu": _op(1, approximate="none"),
    "HardSwish": _op(1),
    "Mish": _op(1),
    "Selu": _op(1, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875),
    "Softplus": _op(1),
    "Softsign": _op(1),
    "Swish": _op(1, alpha=1.0),
    "ThresholdedRelu": _op(1, alpha=1.0),
    # windows
    "MaxPool": _op(1, **_POOL, storage_order=0),
    "AveragePool": _op(1, **_POOL, count_include_pad=0),
    "GlobalMaxPool": _op(1),
    "GlobalAveragePool": _op(1),
    "ReduceMax": _op(1, 2, keepdims=1, noop_with_empty_axes=0),
    "ReduceMean": _op(1, 2, keepdims=1, noop_with_empty_axes=0),
    "ReduceMin": _op(1, 2, keepdims=1, noop_with_empty_axes=0),
    "ReduceSum": _op(1, 2, keepdims=1, noop_with_empty_axes=0),
    # places and shapes
    "Concat": _op(1, 255, axis=REQUIRED),
    "Flatten": _op(1, axis=1),
    "Reshape": _op(2, allowzero=0),
    "Squeeze": _op(1, 2),
    "Unsqueeze": _op(2),
    "Transpose": _op(1, perm=None),
    "Identity": _op(1),
    "Dropout": _op(1, 3, seed=None),
    "Cast": _op(1, to=REQUIRED, saturate=1, round_mode="up"),
    "Resize": _op(
        1,
        4,
        antialias=0,
        axes=None,
        coordinate_transformation_mode=None,
        cubic_coeff_a=-0.75,
        exclude_outside=0,
        extrapolation_value=0.0,
        keep_aspect_ratio_policy="stretch",
        mode="nearest",
        nearest_mode=None,
    ),
    "Split": _op(1, 2, axis=0, num_outputs=None, part=REQUIRED, parts=REQUIRED),  # one node for each result
    "DepthToSpace": _op(1, blocksize=REQUIRED, mode="DCR"),
    "SpaceToDepth": _op(1, blocksize=REQUIRED),
    "Upsample": _op(2, mode="nearest"),
    "Pad": _op(2, 4, mode="constant"),
    # arithmetic of scales and bit widths, of constants alone
    **dict.fromkeys(("Ceil", "Floor", "Round", "Log", "Exp", "Sqrt", "Reciprocal"), _op(1)),
    "Pow": _op(2),
    "Max": _op(1, 255),
    "Min": _op(1, 255),
    # arithmetic of shapes
    "Shape": _op(1, start=0, end=None),
    "ConstantOfShape": _op(1, value=None),
    "Gather": _op(2, axis=0),
    "Slice": _op(3, 5),
    # tails: stay outside the program
    "Softmax": _op(1, axis=-1, flattened=0),  # flattened: over this axis and all behind it, as before opset 13
    "LogSoftmax": _op(1, axis=-1, flattened=0),
    "Hardmax": _op(1, axis=-1, flattened=0),
    "ArgMax": _op(1, axis=0, keepdims=1, select_last_index=0),
    "TopK": _op(2, axis=-1, largest=1, sorted=1, part=REQUIRED, parts=REQUIRED),  # one node for each result
}

_INTS: tuple[Any, ...] = (tuple,)
_KINDS: dict[str, tuple[Any, ...]] = {  # of attributes whose default does not tell
    **dict.fromkeys(
        ("axes", "dilations", "kernel_shape", "output_padding", "output_shape", "pads", "perm", "strides"), _INTS
    ),
    **dict.fromkeys(("coordinate_transformation_mode", "data_layout", "nearest_mode"), (str,)),
    **dict.fromkeys(
        ("axis", "blocksize", "end", "narrow", "num_outputs", "part", "parts", "seed", "signed", "to"), (int,)
    ),
    "value": (np.ndarray,),
}
_KIND_NAMES = {np.ndarray: "a tensor", int: "a whole number", float: "a number", str: "a text", tuple: "whole numbers"}

# Float operators that may end a model: they stay outside and are named in the metadata.
TAIL_OPS = ("Softmax", "LogSoftmax", "Hardmax", "Sigmoid", "ArgMax", "TopK")

_UNBOUNDED = "replace the operator, or cut the model before it"


def check_stage(graph: Graph, stage: str) -> None:
    """Check every node of a graph against the rules of a stage.

    Args:
        graph: the graph.
        stage: "imported", "quantized" or "integer".

    Raises:
        CompileError: names the node, the rule and the value.
    """
    born = {*graph.inputs, *graph.constants}
    names: set[str] = set()
    read = {*graph.outputs, *(tensor for node in graph.nodes for tensor in node.inputs)}
    for node in graph.nodes:
        missing = [tensor for tensor in node.inputs if tensor and tensor not in born]
        if missing:
            raise CompileError(
                f"{node.name}: operand must be born earlier, not {missing[0]}; sort the nodes of the file"
            )
        if node.name in names:
            raise CompileError(f"{node.name}: node name must be unique")
        if read.intersection(node.outputs[1:]):  # masks, indices, statistics
            raise CompileError(f"{node.name}: only the first result of {node.op} must be read; {_UNBOUNDED}")
        twice = born.intersection(node.outputs)
        if twice:
            raise CompileError(f"{node.name}: result must be born once, not twice: {min(twice)}; repair the file")
        names.add(node.name)
        born.update(tensor for tensor in node.outputs if tensor)
        _STAGES[stage](graph, node)
    for tensor in graph.outputs:
        if tensor not in born:
            raise CompileError(f"{tensor}: output must be born in a node, not missing; repair the file")


def _check_imported(graph: Graph, node: Node) -> None:
    op = IMPORTED_OPS.get(node.op)
    if op is None:
        raise CompileError(f"{node.name}: operator must be one that bitlens compiles, not {node.op}; {_UNBOUNDED}")
    least, most = op.operands
    if not least <= len(node.inputs) <= most or not all(node.inputs[:least]):
        many = str(least) if least == most else f"{least} to {most}"
        raise CompileError(f"{node.name}: {node.op} must have {many} inputs, not {sum(map(bool, node.inputs))}")
    for name in node.attrs:
        if name not in op.attrs:
            allowed = ", ".join(op.attrs) or "none"
            raise CompileError(f"{node.name}: attribute of {node.op} must be one of {allowed}, not {name}")
    for name, default in op.attrs.items():
        given = node.attrs.get(name, REQUIRED)
        if given is not None and given is not REQUIRED:
            _check_kind(node, name, default, given)
        if given is REQUIRED:
            raise CompileError(f"{node.name}: {node.op} must have the attribute {name}; write it into the file")


_MAY_BE_INFINITE = ("min", "max", "value")  # limits, and what a pool's padding is


def _check_kind(node: Node, name: str, default: Any, given: Any) -> None:
    kinds = _KINDS.get(name) or ((float, int) if isinstance(default, float) else (type(default),))
    if not isinstance(given, kinds) or (kinds == _INTS and not all(isinstance(number, int) for number in given)):
        raise CompileError(f"{node.name}: attribute {name} must be {_KIND_NAMES[kinds[0]]}, not {given!r}")
    if isinstance(given, float) and not math.isfinite(given) and name not in _MAY_BE_INFINITE:
        raise CompileError(f"{node.name}: attribute {name} must be finite, not {given}")
    if name == "approximate" and given not in ("none", "tanh"):
        raise CompileError(f"{node.name}: approximate must be none or tanh, not {given}")


def _check_quantized(graph: Graph, node: Node) -> None:
    if node.op == "chain":
        ends = ends_in_codes(node.attrs["chain"])
        if ends != (graph.value(node.output).grid is not None):
            raise CompileError(f"{node.name}: result must be integers where the chain ends in a quantizer, else real")
        return
    if node.op not in INTEGER_OPS:
        raise CompileError(
            f"{node.name}: operator must have an integer form here, not be {node.op} of computed tensors; {_UNBOUNDED}"
        )
    if node.op not in (
        "max_pool",
        "upsample",
        "crop",
        "select",
        "depth_to_space",
    ):  # which may stand before a quantizer
        for tensor in node.inputs:
            if graph.value(tensor).grid is None:
                raise CompileError(f"{node.name}: input must be integers, not real values; put a quantizer before it")


def _check_integer(graph: Graph, node: Node) -> None:
    shape, (lo, hi) = describe_outputs(graph, node)
    value = graph.value(node.output)
    if value.shape != shape:
        raise CompileError(f"{node.name}: shape must be {shape}, not {value.shape}; this is a bug")
    if value.grid is None or lo < value.grid.lo or hi > value.grid.hi:
        raise CompileError(f"{node.name}: result must be on its grid {value.grid}, not in [{lo}, {hi}]; this is a bug")


_STAGES = {"imported": _check_imported, "quantized": _check_quantized, "integer": _check_integer}
