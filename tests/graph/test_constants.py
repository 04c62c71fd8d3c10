# SPDX-License-Identifier: Apache-2.0
"""What a file computes from constants alone, beside ONNX Runtime."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitlens.graph.infer_shapes import infer_shapes
from bitlens.passes.fold_constants import fold_constants
from bitlens.qonnx.read import read

RNG = np.random.default_rng(0)
REALS = RNG.normal(0, 1, (2, 3, 4, 5)).astype(np.float32)


def assert_folds(op: str, *operands: npt.NDArray[Any], opset: int = 17, **attrs: Any) -> None:
    """The operator's result is ONNX Runtime's, in value and in the shape that is inferred."""
    import onnxruntime

    names = [f"c{i}" for i in range(len(operands))]
    constants = [numpy_helper.from_array(array, name) for name, array in zip(names, operands, strict=True)]
    kind = helper.np_dtype_to_tensor_dtype(operands[0].dtype)
    node = helper.make_node(op, names, ["made"], "it", **attrs)
    alone = helper.make_graph([node], "alone", [], [helper.make_tensor_value_info("made", kind, None)], constants)
    model = helper.make_model(alone, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {}
    )
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("N", 1, 2, 2))
    whole = helper.make_graph(
        [node, helper.make_node("Identity", ["image"], ["out"], "out")],
        "whole",
        [image],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("made", "out")],
        constants,
    )
    graph = read(helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=9))
    infer_shapes(graph)
    assert graph.value("made").shape == wanted.shape
    fold_constants(graph)
    found = graph.constants["made"]
    assert found.shape == wanted.shape
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    else:
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"])
@pytest.mark.parametrize("axes", [None, [], [1], [-1], [2, 3], [0, 2], [0, 1, 2, 3], [3, 2]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_over_any_axes(op: str, axes: list[int] | None, keepdims: int) -> None:
    operands = [REALS] if axes is None else [REALS, np.array(axes, np.int64)]
    assert_folds(op, *operands, opset=18, keepdims=keepdims)
    if axes:
        assert_folds(op, REALS[0, 0], np.array([0], np.int64), opset=18, keepdims=keepdims)


@pytest.mark.parametrize("empty", [0, 1])
def test_no_axes_are_all_or_none(empty: int) -> None:
    assert_folds("ReduceMax", REALS, np.zeros(0, np.int64), opset=18, noop_with_empty_axes=empty)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, 4, -1, -2, -3, -4])
def test_flatten_from_any_axis(axis: int) -> None:
    assert_folds("Flatten", REALS, axis=axis)


def test_whole_numbers_are_divided_towards_zero() -> None:
    a, b = (grid.reshape(-1) for grid in np.meshgrid(np.arange(-9, 10), [-4, -3, -2, -1, 1, 2, 3, 4]))
    assert_folds("Div", a.astype(np.int64), b.astype(np.int64))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -2])
def test_softmax_flattened_before_operator_set_13(op: str, axis: int | None, opset: int) -> None:
    attrs = {} if axis is None else {"axis": axis}
    assert_folds(op, REALS, opset=opset, **attrs)
