# SPDX-License-Identifier: Apache-2.0
"""ONNX's own node tests of quantized operators, which come with the onnx package.

Our reference arithmetic passes them; compiling such a node is exact or refused.
"""

import warnings
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase as Case

import bitlens
from bitlens.graph.execute import Tensor, execute_node
from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import IMPORTED_OPS, REQUIRED, CompileError
from bitlens.qonnx.read import read

KINDS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
# number types that integer programs do not have, scales of blocks, and stacks of matrices
OTHER = ("e4m3", "e5m2", "float8", "int4", "int2", "float4", "blocked", "16", "e8m0", "3D", "expanded")


@cache
def cases() -> dict[str, Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts to narrow floats, on purpose
        found = [case for case in collect_testcases() if case.model is not None]
    ours = [case for case in found if case.model.graph.node[0].op_type in KINDS]
    return {case.name: case for case in ours if not any(word in case.name for word in OTHER)}


def loaded(name: str) -> tuple[onnx.ModelProto, list[np.ndarray], np.ndarray]:
    case = cases()[name]
    (inputs, outputs) = case.data_sets[0]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    return model, [np.asarray(array) for array in inputs], np.asarray(outputs[0])


def test_the_cases_are_there() -> None:
    assert len(cases()) >= 10
    assert {case.model.graph.node[0].op_type for case in cases().values()} == {*KINDS}


@pytest.mark.parametrize("name", [*cases()])
def test_reference_arithmetic(name: str) -> None:
    model, arrays, wanted = loaded(name)
    graph = Graph()
    (proto,) = model.graph.node
    attrs = {key: value for key, value in IMPORTED_OPS[proto.op_type].attrs.items() if value is not REQUIRED}
    attrs |= {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}
    given = dict(zip((info.name for info in model.graph.input), arrays, strict=True))
    node = Node(proto.op_type, name, [*proto.input], [*proto.output], attrs)
    operands = [Tensor(given[tensor]) if tensor else None for tensor in proto.input]
    found = execute_node(graph, node, operands).real
    np.testing.assert_array_equal(found.astype(np.float64), wanted.astype(np.float64))


@pytest.mark.parametrize("name", [*cases()])
def test_compiled_or_refused(name: str) -> None:
    """Everything but the first input is a constant, as in models."""
    model, arrays, wanted = loaded(name)
    for info, array in [*zip(model.graph.input, arrays, strict=True)][1:]:
        model.graph.initializer.append(numpy_helper.from_array(array, info.name))
    del model.graph.input[1:]
    try:
        program = bitlens.compile(model)
    except CompileError as refusal:
        assert "this is a bug" not in str(refusal)
        assert len(str(refusal).splitlines()) == 1
        return
    value = read(model).value(model.graph.input[0].name)
    x = arrays[0].transpose(0, 2, 3, 1) if len(value.shape or ()) == 4 else arrays[0].reshape(len(arrays[0]), 1, 1, -1)
    (found,) = bitlens.Session(program).run(x, real=True).values()
    wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted.reshape(found.shape)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
