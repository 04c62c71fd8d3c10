# SPDX-License-Identifier: Apache-2.0
"""Exports in QONNX's own reference executor."""

import warnings

import numpy as np
import onnx
import pytest
import torch

from bitlens.graph.execute import execute
from bitlens.models import DigitsNet
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.qonnx.read import read
from bitlens.quant import Spec

pytestmark = pytest.mark.filterwarnings("ignore")  # the executor's own


def _run(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(image)  # it knows no free batch
        model.graph.output[0].type.tensor_type.ClearField("shape")
        wrapped = ModelWrapper(model).transform(InferShapes())
        found: dict[str, np.ndarray] = execute_onnx(wrapped, {"image": image}, return_full_exec_context=True)
    return found


@pytest.mark.parametrize("bits", ["w1a1", "w1a2", "w2a4", "w8a8"])
def test_every_tensor_is_what_qonnx_computes(bits: str) -> None:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse(bits))
    net.train()
    net(torch.rand(16, 1, 8, 8))  # statistics that are not 0 and 1
    model = export(freeze(net), torch.zeros(1, 1, 8, 8))
    image = (np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8)) / 255).astype(np.float32)
    wanted, found = execute(read(model), {"image": image}), _run(model, image)
    codes = 0
    for name, tensor in wanted.items():
        if name in found and tensor.unit is not None:
            off = np.abs(found[name] - tensor.real) > np.abs(tensor.unit) / 2
            assert off.sum() <= tensor.real.size // 1000, name  # ties: other runtimes sum floats, we sum integers
            codes += tensor.real.size
    assert codes > 10_000
