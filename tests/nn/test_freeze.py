# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.compiler import compile
from bitlens.models import DigitsNet
from bitlens.nn import QuantLayer, QuantLinear, freeze
from bitlens.qonnx.export import ExportError, export
from bitlens.quant import DoReFaWeight, LSQWeight, PACTActivation, QuantError, Spec, exporting
from bitlens.runtime import Session
from bitlens.train.weights import load_weights, save_weights


def trained(bits: str) -> nn.Module:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse(bits))
    for _ in range(3):
        net(torch.rand(8, 1, 8, 8))  # moves the running statistics
    return net


LEARNED = ["w2a2,activation=lsq", "w2a2,activation=pact", "w2a2,activation=pact,scale=pow2,weight=lsq"]


@pytest.mark.parametrize(
    "bits", ["w1a2", "w2a2,weight=balanced", "w3a1,activation=cabs", "w8a8", "w32a32", "w1a32", *LEARNED]
)
def test_frozen_evaluation_equals_unfrozen(bits: str) -> None:
    net, x = trained(bits).eval(), torch.rand(4, 1, 8, 8)
    before = net(x)
    assert freeze(net) is net
    assert torch.equal(net(x), before)


def test_integers_are_stored_and_stay() -> None:
    net = freeze(trained("w1a2"))
    for layer in net.modules():
        if isinstance(layer, QuantLayer):
            assert layer.frozen
            assert layer.weight_integers.dtype == torch.int32
            assert layer.weight_grid.contains(layer.weight_integers.numpy())
    assert net.fc.bias_integers.dtype == torch.int32
    x = torch.rand(4, 1, 8, 8)
    before = net(x)
    with torch.no_grad():
        net.conv1.weight.neg_()
    assert torch.equal(net(x), before)
    assert not torch.equal(freeze(net)(x), before)  # freezing again reads the float weights again
    assert not net.training


@pytest.mark.parametrize("bits", ["w2a2", *LEARNED])
def test_a_frozen_state_loads_into_a_frozen_net(bits: str) -> None:
    source = trained(bits)
    for name, parameter in source.named_parameters():
        if "input_quantizer" in name:
            nn.init.constant_(parameter, 3.0)  # as if it had learned
    source, other = freeze(source), freeze(DigitsNet(Spec.parse(bits)))
    other.load_state_dict(source.state_dict())
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(other(x), source(x))
    with exporting():
        assert torch.equal(other(x), source(x))


@pytest.mark.parametrize("bits", ["w2a2", *LEARNED])
def test_published_weights_compile_to_what_the_net_computes(bits: str, tmp_path: Path) -> None:
    source = trained(bits)
    for name, parameter in source.named_parameters():
        if "input_quantizer" in name:
            nn.init.constant_(parameter, 3.0)
    save_weights(freeze(source), tmp_path / "weights.npz")
    net = DigitsNet(Spec.parse(bits))
    load_weights(net, tmp_path / "weights.npz")
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    program = compile(export(freeze(net), torch.zeros(1, 1, 8, 8)))
    (scores,) = Session(program, threads=1).run(images, real=True).values()
    with torch.no_grad():
        wanted = source(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    assert np.allclose(scores.reshape(20, 10), wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_weights_that_are_loaded_alone_take_the_place_of_frozen_ones() -> None:
    net = freeze(trained("w2a2"))
    x, wanted = torch.rand(4, 1, 8, 8), -net.conv1.weight.detach()
    net.load_state_dict({"conv1.weight": wanted}, strict=False)
    assert not net.conv1.frozen
    assert net.conv2.frozen
    before = net(x)
    assert torch.equal(freeze(net)(x), before)


def test_a_state_that_holds_no_weight_starts_no_step_anew() -> None:
    net = nn.Sequential(*(QuantLinear(4, 4, weight_quantizer=LSQWeight(2)) for _ in range(2)))
    with torch.no_grad():
        net[0].weight_quantizer.reach.fill_(7.0)
    net.load_state_dict({}, strict=False)
    net.load_state_dict({"1.weight": torch.randn(4, 4)}, strict=False)
    assert net[0].weight_quantizer.reach == 7.0
    net.load_state_dict({"0.weight": torch.randn(4, 4)}, strict=False)
    assert net[0].weight_quantizer.reach != 7.0


def test_a_float_checkpoint_loads_into_every_quantized_net() -> None:
    state = trained("w32a32").state_dict()
    for bits in ("w1a2g6", "w8a8g8", "w2a2,weight=balanced"):
        keys = DigitsNet(Spec.parse(bits)).load_state_dict(state)
        assert not keys.missing_keys
        assert not keys.unexpected_keys


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_integers_do_not_depend_on_the_device() -> None:
    net, x = trained("w2a2"), torch.rand(4, 1, 8, 8)
    on_cpu = freeze(net)(x)
    assert torch.equal(freeze(net.cuda())(x.cuda()).cpu(), on_cpu)


@pytest.mark.parametrize("family", ["dorefa", "balanced", "mean", "lsq"])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_what_is_not_finite_is_not_frozen(family: str, part: str) -> None:
    spec = Spec.parse("w2a2", weight=family)
    options = {"input_quantizer": spec.activation_quantizer(2), "bias_quantizer": spec.bias_quantizer()}
    layer = QuantLinear(4, 3, weight_quantizer=spec.weight_quantizer(), **options)
    layer(torch.rand(2, 4))
    with torch.no_grad():
        getattr(layer, part)[0] = float("nan")
    what = (
        "weights must be finite to be frozen, not nan or inf"
        if part == "weight"
        else "bias must be finite to be frozen, not nan or inf"
    )
    with pytest.raises(QuantError, match=f"^QuantLinear: {what}$"):
        freeze(layer)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_float_bias_or_a_learned_scale_that_is_not_finite_is_not_frozen(value: float) -> None:
    layer = QuantLinear(4, 3, weight_quantizer=LSQWeight(2))
    nn.init.constant_(layer.bias, value)
    with pytest.raises(QuantError, match=r"^QuantLinear: bias must be finite to be frozen, not nan or inf$"):
        freeze(layer)
    layer = QuantLinear(4, 3, input_quantizer=PACTActivation(2))
    nn.init.constant_(layer.input_quantizer.alpha, value)
    with pytest.raises(QuantError, match=r"^PACTActivation: scale must be finite to be fixed, not (nan|inf)$"):
        layer.freeze()


def test_a_learned_scale_that_moved_is_not_exported() -> None:
    net = nn.Sequential(QuantLinear(4, 3, input_quantizer=PACTActivation(2), weight_quantizer=DoReFaWeight(2)))
    sentence = r"^0.input_quantizer: learned scale must be fixed, not one that moved since; call freeze\(net\)$"
    for change in (lambda: net[0].requires_grad_(True), lambda: nn.init.constant_(net[0].input_quantizer.alpha, 3.0)):
        freeze(net)
        export(net, torch.zeros(1, 4))
        change()
    with pytest.raises(ExportError, match=sentence):
        export(net, torch.zeros(1, 4))
    export(freeze(net), torch.zeros(1, 4))
    with pytest.raises(ExportError, match=sentence):
        export(nn.Sequential(QuantLinear(4, 3, input_quantizer=PACTActivation(2))).eval(), torch.zeros(1, 4))


def test_a_frozen_net_put_in_training_trains() -> None:
    net = freeze(trained("w2a2"))
    x, before = torch.rand(4, 1, 8, 8), net.state_dict()["conv1.weight_integers"].clone()
    assert net.train().training
    assert not any(layer.frozen for layer in net.modules() if isinstance(layer, QuantLayer))
    optimizer = torch.optim.SGD(net.parameters(), 0.5)
    net(x).square().sum().backward()
    assert net.conv1.weight.grad.any()
    optimizer.step()
    assert not torch.equal(freeze(net).conv1.weight_integers, before)


def test_integers_without_a_trainable_weight_stay_in_training() -> None:
    layer = freeze(QuantLinear(4, 3, weight_quantizer=Spec.parse("w2a2").weight_quantizer()))
    layer.weight.requires_grad_(False)
    assert layer.eval().frozen
    assert layer.train().frozen
