# SPDX-License-Identifier: Apache-2.0
"""Exports in QONNX's own reference executor."""

import warnings

import numpy as np
import onnx
import pytest
import torch

import bitlens
from bitlens.graph.execute import execute
from bitlens.models import DigitsNet, LanguageModel
from bitlens.nn import freeze
from bitlens.qonnx.dialect import DOMAIN
from bitlens.qonnx.export import export
from bitlens.qonnx.read import read
from bitlens.quant import Spec
from qonnx_models import ModelBuilder

pytestmark = pytest.mark.filterwarnings("ignore")  # the executor's own


def _run(model: onnx.ModelProto, image: np.ndarray) -> dict[str, np.ndarray]:
    return _run_all(model, image=image)


def _run_all(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        for info in model.graph.input:
            info.type.tensor_type.shape.dim[0].dim_value = len(inputs[info.name])  # it knows no free batch
        for info in model.graph.output:
            info.type.tensor_type.ClearField("shape")
        wrapped = ModelWrapper(model).transform(InferShapes())
        found: dict[str, np.ndarray] = execute_onnx(wrapped, inputs, return_full_exec_context=True)
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


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_steps_of_a_language_model(cell: str) -> None:
    torch.manual_seed(0)
    net = freeze(LanguageModel(Spec.parse("w2a2,weight=mean"), cell, vocabulary=9, hidden=5).to_fixed())
    model = export(net, torch.zeros(1, dtype=torch.int64))
    program = bitlens.compile(model)
    stream = bitlens.Session(program).stream()
    names = [state.input for state in program.graph.states]
    states = {name: tensor.numpy() for name, tensor in zip(names, net.initial_state(1), strict=True)}
    for word in (3, 0, 8, 8, 1):
        wanted = _run_all(model, tokens=np.array([word]), **states)
        (scores,) = stream.run(np.array([word]), real=True).values()
        np.testing.assert_allclose(scores[0, 0], wanted["scores"], rtol=1e-5, atol=1e-6)
        states = {name: wanted[f"{name}_next"] for name in names}
        for name, integers in stream.state.items():
            np.testing.assert_array_equal(integers[0] * program.graph.value(name).scale, states[name])


def _image(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).integers(0, 256, (2, 2, 6, 6)) / 255).astype(np.float32)


def _summed() -> tuple[ModelBuilder, str]:
    b = ModelBuilder(("N", 2, 6, 6))
    x = b.quant(b.conv(b.image(), np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3))), 0.25, 8, 1)
    return b, x


def _assert_equal(b: ModelBuilder, x: str, version: int = 2) -> None:
    model = b.model(x)
    model.opset_import[1].version = version
    program, image = bitlens.compile(model), _image(1)
    codes = np.rint(image * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    (real,) = bitlens.Session(program).run(codes, real=True).values()
    np.testing.assert_allclose(real.transpose(0, 3, 1, 2), _run(model, image)[x], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize(("out_bits", "signed", "narrow"), [(6, 1, 0), (4, 1, 1), (4, 0, 0)])
def test_trunc(mode: str, out_bits: int, signed: int, narrow: int) -> None:
    b, x = _summed()
    constants = [b.constant(value) for value in (0.25, 0.0, 8.0, 1.0, float(out_bits))]
    x = b.op("Trunc", x, *constants, domain=DOMAIN, rounding_mode=mode, signed=signed, narrow=narrow)
    _assert_equal(b, x)


def test_trunc_in_front_of_a_product() -> None:
    b, x = _summed()
    constants = [b.constant(value) for value in (0.25, 0.0, 8.0, 1.0, 6.0)]
    x = b.op("Trunc", x, *constants, domain=DOMAIN, rounding_mode="FLOOR", signed=1, narrow=0)
    _assert_equal(b, b.conv(x, np.random.default_rng(1).integers(-9, 10, (2, 3, 3, 3))))


def test_trunc_of_version_1_keeps_the_scale() -> None:
    b, x = _summed()
    constants = [b.constant(value) for value in (0.25, 0.0, 8.0, 6.0)]
    _assert_equal(b, b.op("Trunc", x, *constants, domain=DOMAIN, rounding_mode="FLOOR"), version=1)


@pytest.mark.parametrize(("scale", "bias"), [(1.0, 0.0), (0.5, -1.0), (2.0, -3.0)])
def test_multi_threshold(scale: float, bias: float) -> None:
    b = ModelBuilder(("N", 2, 6, 6))
    x = b.conv(b.image(), np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3)))
    thresholds = b.constant(np.sort(np.random.default_rng(1).normal(0, 20, (3, 3)), axis=1))
    attrs = {"out_dtype": "UINT2", "out_scale": scale, "out_bias": bias, "data_layout": "NCHW"}
    _assert_equal(b, b.op("MultiThreshold", x, thresholds, domain=DOMAIN, **attrs))


def test_multi_threshold_and_whole_weights_as_finn_writes_them() -> None:
    b, rng = ModelBuilder(("N", 2, 6, 6)), np.random.default_rng(0)
    attrs = {"data_layout": "NCHW", "out_bias": 0.0, "domain": DOMAIN}
    x = b.op("MultiThreshold", "image", b.constant((np.arange(255) + 0.5)[None] / 255), out_dtype="UINT8", **attrs)
    x = b.op("Conv", x, b.constant(rng.integers(-7, 8, (3, 2, 3, 3))))
    x = b.op("Add", b.op("Mul", x, b.constant(rng.random((3, 1, 1)) / 99)), b.constant(rng.normal(0, 3, (3, 1, 1))))
    x = b.op("MultiThreshold", x, b.constant([[-3.0, 0.25, 2.5]]), out_dtype="UINT2", **attrs)
    _assert_equal(b, b.op("Conv", x, b.constant(rng.integers(-7, 8, (2, 3, 3, 3)))))


@pytest.mark.parametrize("move", ["MaxPool", "Resize", "DepthToSpace", "Pad"])
def test_moves_between_a_finn_activation_and_a_product(move: str) -> None:
    b, rng = ModelBuilder(("N", 2, 6, 6)), np.random.default_rng(0)
    attrs = {"data_layout": "NCHW", "out_bias": 0.0, "domain": DOMAIN}
    x = b.conv(b.image(), rng.integers(-9, 10, (4, 2, 3, 3)))
    x = b.op("MultiThreshold", x, b.constant([[-3.0, 0.25, 2.5]]), out_dtype="UINT2", **attrs)
    x = b.op("Mul", x, b.constant(0.37))
    if move == "MaxPool":
        x = b.op(move, x, kernel_shape=[2, 2], strides=[2, 2])
    elif move == "Resize":
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        x = b.op(move, x, "", b.constant([1, 1, 2, 2]), **modes)
    elif move == "Pad":
        x = b.op(move, x, b.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64))
    else:
        x = b.op(move, x, blocksize=2)
    channels = 1 if move == "DepthToSpace" else 4
    _assert_equal(b, b.op("Conv", x, b.constant(rng.integers(-7, 8, (2, channels, 1, 1)))))


@pytest.mark.parametrize(
    "op",
    [
        "Sign",
        "HardSigmoid",
        "Elu",
        "Celu",
        "Selu",
        "Softplus",
        "Softsign",
        "HardSwish",
        "Erf",
        "ThresholdedRelu",
    ],
)
def test_further_activations(op: str) -> None:
    b = ModelBuilder(("N", 2, 6, 6))
    x = b.op(op, b.conv(b.image(), np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3))))
    _assert_equal(b, b.quant(x, 0.3, 4, 1))
