# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from bitlens.models import DigitsNet
from bitlens.nn import QuantLayer, QuantLinear, freeze
from bitlens.quant import QuantError, Spec, exporting


def trained(bits: str) -> nn.Module:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse(bits))
    for _ in range(3):
        net(torch.rand(8, 1, 8, 8))  # moves the running statistics
    return net


@pytest.mark.parametrize("bits", ["w1a2", "w2a2,weight=balanced", "w3a1,activation=cabs", "w8a8", "w32a32", "w1a32"])
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


def test_a_frozen_state_loads_into_a_frozen_net() -> None:
    source, other = freeze(trained("w2a2")), freeze(DigitsNet(Spec.parse("w2a2")))
    other.load_state_dict(source.state_dict())
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(other(x), source(x))
    with exporting():
        assert torch.equal(other(x), source(x))


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
        else "bias must be finite to be frozen, not nan"
    )
    with pytest.raises(QuantError, match=f"^QuantLinear: {what}$"):
        freeze(layer)


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
