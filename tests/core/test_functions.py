# SPDX-License-Identifier: Apache-2.0
"""The functions beside ONNX's own reference of their operators."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from bitlens.core.functions import FUNCTIONS, apply_function
from bitlens.graph.spec import IMPORTED_OPS

_OTHERS = {
    "Celu": {"alpha": 0.7},
    "Elu": {"alpha": 1.3},
    "Gelu": {"approximate": "tanh"},
    "ThresholdedRelu": {"alpha": 0.4},
}


def _cases() -> list[tuple[str, dict[str, object]]]:
    known = [name for name in FUNCTIONS if onnx.defs.has(name)]
    return [(name, {}) for name in known] + [*_OTHERS.items()]


@pytest.mark.parametrize(("name", "attrs"), _cases())
def test_functions_are_onnxs(name: str, attrs: dict[str, object]) -> None:
    x = np.concatenate([np.linspace(-9, 9, 1001), [0.0, 40.0, -40.0]]).astype(np.float32)
    infos = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, [None]) for tensor in ("x", "y")]
    graph = helper.make_graph([helper.make_node(name, ["x"], ["y"], **attrs)], "one", infos[:1], infos[1:])
    opset = helper.make_opsetid("", onnx.defs.get_schema(name).since_version)
    (wanted,) = ReferenceEvaluator(helper.make_model(graph, opset_imports=[opset])).run(None, {"x": x})
    found = apply_function(name, x, {**IMPORTED_OPS[name].attrs, **attrs})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


def test_every_function_may_come_in() -> None:
    assert {*FUNCTIONS} <= {*IMPORTED_OPS}
