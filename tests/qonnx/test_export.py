# SPDX-License-Identifier: Apache-2.0
"""Exported nets: their form, that they compute what torch computes, and what is refused."""

import json
import re
from collections import Counter
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import bitlens
from bitlens.graph.execute import execute
from bitlens.models import BitFCN, DigitsNet, DoReFaSVHN, LanguageModel
from bitlens.nn import BatchNorm2d, QuantAdd, QuantConcat, QuantConv2d, QuantGRU, QuantLinear, freeze
from bitlens.qonnx.export import ExportError, export
from bitlens.qonnx.read import read
from bitlens.qonnx.states import STATES_KEY
from bitlens.quant import (
    BalancedWeight,
    DoReFaActivation,
    DoReFaWeight,
    JoinActivation,
    NarrowWeight,
    Spec,
    UnitActivation,
    UnsignedInput,
)


class Residual(nn.Module):
    """A residual add and a concat; every weight family; depthwise; global average."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = QuantConv2d(
            3, 8, 3, padding=1, bias=False, input_quantizer=UnsignedInput(), weight_quantizer=NarrowWeight()
        )
        self.bn0 = BatchNorm2d(8)
        self.conv1 = QuantConv2d(
            8, 8, 3, padding=1, bias=False, input_quantizer=DoReFaActivation(2), weight_quantizer=DoReFaWeight(1)
        )
        self.bn1 = BatchNorm2d(8)
        self.conv2 = QuantConv2d(
            8,
            8,
            3,
            padding=1,
            groups=8,
            input_quantizer=DoReFaActivation(2, "cabs"),
            weight_quantizer=BalancedWeight(3),
        )
        self.bn2 = BatchNorm2d(8)
        join = JoinActivation()
        self.add, self.concat = QuantAdd(input_quantizer=join), QuantConcat(input_quantizer=join)
        self.conv3 = QuantConv2d(
            16, 6, 1, stride=2, input_quantizer=DoReFaActivation(4), weight_quantizer=DoReFaWeight(2)
        )
        self.bn3 = BatchNorm2d(6)
        self.fc = QuantLinear(6, 5, input_quantizer=DoReFaActivation(8), weight_quantizer=NarrowWeight())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.bn0(self.conv0(image))
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        x = self.concat(self.add(x, y), y)
        x = self.bn3(self.conv3(x))
        scores: torch.Tensor = self.fc(self.fc.input_quantizer(x).mean((2, 3)))
        return scores


def _trained(net: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Frozen, with batch norms as training leaves them."""
    torch.manual_seed(1)
    net.train()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, BatchNorm2d):
                layer.weight.normal_()
                layer.bias.normal_(0.5, 0.5)
        for _ in range(4):
            net(torch.rand(8, *shape))
    return freeze(net)


NETS = {
    "digits w1a2": (lambda: DigitsNet(Spec.parse("w1a2")), (1, 8, 8)),
    "digits w3a4 balanced": (lambda: DigitsNet(Spec.parse("w3a4", weight="balanced")), (1, 8, 8)),
    "svhn D clip": (lambda: DoReFaSVHN(Spec.parse("w1a1"), "D"), (3, 40, 40)),
    "svhn D cabs": (lambda: DoReFaSVHN(Spec.parse("w1a2", activation="cabs"), "D"), (3, 40, 40)),
    "residual": (Residual, (3, 8, 8)),
}


@cache
def made(name: str) -> tuple[nn.Module, onnx.ModelProto, tuple[int, int, int]]:
    make, shape = NETS[name]
    net = _trained(make(), shape)
    return net, export(net, torch.zeros(1, *shape)), shape


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def _images(shape: tuple[int, int, int], count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)


@pytest.mark.parametrize("name", NETS)
def test_reference_arithmetic_of_the_export_equals_torch(name: str) -> None:
    net, model, shape = made(name)
    images = (_images(shape, 3) / np.float32(255)).astype(np.float32)
    graph = read(model)
    with torch.no_grad():
        wanted = net(torch.from_numpy(images)).numpy()
    found = execute(graph, {"image": images})["scores"].real
    if name == "residual":  # its mean is a torch operator, not an exact sum
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", NETS)
def test_compiled_exports_yield_the_torch_scores(name: str) -> None:
    net, model, shape = made(name)
    images = _images(shape, 2)
    program = bitlens.compile(model)
    found = program.run(images.transpose(0, 2, 3, 1))["scores"]
    value = program.graph.value(program.graph.outputs[0])
    with torch.no_grad():
        wanted = net(torch.from_numpy((images / np.float32(255)).astype(np.float32))).numpy()
    np.testing.assert_allclose((found * value.scale + value.offset)[:, 0, 0], wanted, rtol=1e-5, atol=1e-5)


def test_the_form_of_an_export() -> None:
    _, model, _ = made("digits w1a2")
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20), ("qonnx.custom_op.general", 2)]
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts == {"Quant": 9, "Conv": 3, "BatchNormalization": 3, "Clip": 3, "MaxPool": 2, "Reshape": 1, "Gemm": 1}
    assert [info.name for info in model.graph.input] == ["image"]
    assert [info.name for info in model.graph.output] == ["scores"]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["N", 1, 8, 8]
    assert not model.graph.value_info  # would hold the example's batch
    names = [node.name for node in model.graph.node]
    assert {"conv0", "bn0", "conv1", "bn1", "conv2", "bn2", "fc"} <= {*names}
    assert len({*names}) == len(names)


@pytest.mark.parametrize("name", NETS)
def test_every_quantizer_writes_everything(name: str) -> None:
    _, model, _ = made(name)
    constants = _constants(model)
    for node in model.graph.node:
        if node.op_type != "Quant":
            continue
        assert node.domain == "qonnx.custom_op.general"
        assert {attribute.name for attribute in node.attribute} == {"signed", "narrow", "rounding_mode"}
        scale, zero_point, bits = (constants[tensor] for tensor in node.input[1:])
        assert scale.dtype == zero_point.dtype == bits.dtype == np.float32
        assert zero_point.shape == bits.shape == ()
        assert zero_point == 0
        assert scale.shape == ()  # our quantizers have one scale


@pytest.mark.parametrize("name", NETS)
def test_weights_are_on_grid_constants(name: str) -> None:
    net, model, _ = made(name)
    constants, layers = _constants(model), dict(net.named_modules())
    seen = 0
    for node in model.graph.node:
        if node.op_type == "Quant" and node.input[0].endswith("weight_real"):
            layer = layers[node.input[0].removesuffix(".weight_real")]
            weights, scale = constants[node.input[0]], constants[node.input[1]]
            np.testing.assert_array_equal(weights, layer.weight_integers.numpy().astype(np.float32) * scale)
            grid = layer.weight_quantizer.grid
            attrs = {attribute.name: attribute.i for attribute in node.attribute}
            assert (attrs["signed"], attrs["narrow"]) == (1, 1)
            assert constants[node.input[3]] == grid.bits + (grid.step == 2)
            seen += 1
    assert seen == sum(isinstance(layer, (QuantConv2d, QuantLinear)) for layer in layers.values())


@pytest.mark.parametrize("batch", [1, 2])
def test_the_batch_is_free(batch: int) -> None:
    class Views(nn.Module):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            x = UnsignedInput()(image)
            return {"flat": torch.flatten(x, 1), "view": x.view(x.shape[0], -1), "split": x.view(x.shape[0], 2, -1, 4)}

    model = export(Views().eval(), torch.zeros(batch, 4, 2, 2))
    assert [info.name for info in model.graph.output] == ["flat", "view", "split"]
    shapes = {name: array.tolist() for name, array in _constants(model).items() if array.dtype == np.int64}
    assert sorted(shapes.values()) in ([[0, -1], [0, 2, -1, 4], [0, 16]], [[0, 2, 2, 4], [0, 16], [0, 16]])
    images = np.random.default_rng(0).random((5, 4, 2, 2), np.float32)
    found = execute(read(model), {"image": images})
    assert [found[name].real.shape for name in ("flat", "view", "split")] == [(5, 16), (5, 16), (5, 2, 2, 4)]


def test_tuples_number_their_outputs() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.relu(), x.abs()

    model = export(Two().eval(), torch.zeros(1, 4))
    assert [info.name for info in model.graph.output] == ["output0", "output1"]


def test_an_export_is_quiet_and_leaves_the_logs_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    before = logging.root.manager.disable
    export(freeze(DigitsNet(Spec.parse("w1a1"))), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ExportError):
        export(_Branching().eval(), torch.zeros(1, 4))
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == before


class _Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() if x.sum() > 0 else x.abs()


def _unfrozen() -> nn.Module:
    return DigitsNet(Spec.parse("w1a2")).eval()


@pytest.mark.parametrize(
    ("make", "example", "sentence"),
    [
        (
            lambda: DigitsNet(Spec.parse("w1a2")),
            torch.zeros(1, 1, 8, 8),
            "net: module must be in evaluation mode, not in training; call freeze(net)",
        ),
        (_unfrozen, torch.zeros(1, 1, 8, 8), "conv0: layer must be frozen, not trainable; call freeze(net)"),
        (
            lambda: freeze(DigitsNet(Spec.parse("w1a2"))),
            torch.zeros(1, 3, 8, 8),
            "net: forward must be one that torch can export, not fail: Given groups=1, weight of size [16, 1, 3, 3], "
            "expected input[1, 3, 8, 8] to have 1 channels, but got 3 channels instead",
        ),
        (
            _unfrozen,
            np.zeros((1, 1, 8, 8)),
            "example: must be a float32 tensor (N, C, H, W) or (N, C) or int64 (N,), not ndarray",
        ),
        (
            _unfrozen,
            torch.zeros(1, 8, 8, dtype=torch.uint8),
            "example: must be a float32 tensor (N, C, H, W) or (N, C) or int64 (N,), not torch.uint8 (1, 8, 8)",
        ),
    ],
)
def test_refusals(make: object, example: torch.Tensor, sentence: str) -> None:
    net = make()
    with pytest.raises(ExportError, match=f"^{re.escape(sentence)}$"):
        export(net, example)


def test_data_dependent_nets_are_refused_in_one_line() -> None:
    with pytest.raises(ExportError, match=r"^net: forward must be one that torch can export, not fail: [^\n]+$"):
        export(_Branching().eval(), torch.zeros(1, 4))


def test_a_net_of_convolutions_exports_for_any_size() -> None:
    net = freeze(BitFCN(Spec.parse("w2a2"), width=4))
    program = bitlens.compile(export(net, torch.zeros(1, 3, 16, 16), symbolic=True))
    assert program.graph.value("image").shape == (None, None, 3)
    x = np.random.default_rng(0).integers(0, 256, (1, 19, 13, 3)).astype(np.uint8)
    (found,) = bitlens.Session(program, size=(19, 13)).run(x, real=True).values()
    with torch.no_grad():
        wanted = net(torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_net_that_holds_a_size_is_told() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    with pytest.raises(
        ExportError, match=r"must not hold the example's, as (Reshape|Flatten) does; export with a fixed size$"
    ):
        export(net, torch.zeros(1, 3, 2, 2), symbolic=True)


def _language(cell: str = "lstm") -> LanguageModel:
    return LanguageModel(Spec.parse("w2a2,weight=mean"), cell, vocabulary=7, hidden=4)


def test_a_recurrent_net_is_exported_as_one_step() -> None:
    net = freeze(_language().to_fixed())
    model = export(net, torch.zeros(3, dtype=torch.int64))
    shapes = {
        info.name: [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]
        for info in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "tokens": ["N"],
        **{name: ["N", 4] for name in ("h", "c", "h_next", "c_next")},
        "scores": ["N", 7],
    }
    states = json.loads(next(entry.value for entry in model.metadata_props if entry.key == STATES_KEY))
    h, c = (float(tensor[0, 0]) for tensor in net.initial_state(1))
    assert states == [
        {"input": "h", "output": "h_next", "initial": pytest.approx(h)},
        {"input": "c", "output": "c_next", "initial": pytest.approx(c)},
    ]


def test_a_layer_by_itself_gives_h_twice() -> None:
    weights = {"weight_quantizer": BalancedWeight(2), "candidate_weight_quantizer": BalancedWeight(2)}
    net = freeze(QuantGRU(3, 4, state_quantizer=UnitActivation(2), **weights).to_fixed())
    model = export(net, torch.zeros(1, 3))
    assert [info.name for info in model.graph.input] == ["x", "h"]
    assert [info.name for info in model.graph.output] == ["scores", "h_next"]
    inputs = {"x": np.full((1, 3), 1 / 3, np.float32), "h": np.full((1, 4), 2 / 3, np.float32)}
    found = execute(read(model), inputs)
    np.testing.assert_array_equal(found["scores"].real, found["h_next"].real)


@pytest.mark.parametrize(
    ("make", "example", "sentence"),
    [
        (
            lambda: freeze(_language("gru")),
            torch.zeros(1, dtype=torch.int64),
            "cell: must be in the fixed form to be exported, not the paper's; call .to_fixed()",
        ),
        (
            lambda: _language().to_fixed(),
            torch.zeros(1, dtype=torch.int64),
            "net: module must be in evaluation mode, not in training; call freeze(net)",
        ),
        (
            lambda: freeze(_language().to_fixed()).train(),
            torch.zeros(1, dtype=torch.int64),
            "net: module must be in evaluation mode, not in training; call freeze(net)",
        ),
        (
            lambda: _language().to_fixed().eval(),
            torch.zeros(1, dtype=torch.int64),
            "cell.gates: layer must be frozen, not trainable; call freeze(net)",
        ),
    ],
)
def test_refusals_of_recurrent_nets(make: object, example: torch.Tensor, sentence: str) -> None:
    net = make()
    modes = [module.training for module in net.modules()]
    with pytest.raises(ExportError, match=f"^{re.escape(sentence)}$"):
        export(net, example)
    assert [module.training for module in net.modules()] == modes
