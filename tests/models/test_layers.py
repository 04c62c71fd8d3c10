# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bitlens.models import AlexNet, DigitsNet, DoReFaSVHN, MobileNet, ResNet18, ResNet20, VGGSmall
from bitlens.models.layers import Layers
from bitlens.nn import QuantLayer
from bitlens.quant import DoReFaGradient, Spec

NETS = {
    "digits": DigitsNet,
    "svhn": lambda spec: DoReFaSVHN(spec, "D"),
    "resnet20": lambda spec: ResNet20(spec, width=4),
    "resnet18": lambda spec: ResNet18(spec, width=4),
    "alexnet": lambda spec: AlexNet(spec, width=1 / 16),
    "vgg_small": lambda spec: VGGSmall(spec, width=4),
    "mobilenet": lambda spec: MobileNet(spec, width=1 / 16),
}


def test_ends_and_middle_have_the_specs_bits() -> None:
    layers = Layers(Spec.parse("w1a2g6,first=w8a8g8,last=w4a4"))
    first, conv, last = layers.first(3, 4, 3), layers.conv(4, 4, 3), layers.last(4, 2)
    assert [str(layer.weight_grid) for layer in (first, conv, last)] == ["narrow 8", "bipolar", "narrow 4"]
    assert [str(layer.input_grid) for layer in (first, conv, last)] == ["unsigned 8", "unsigned 2", "unsigned 4"]
    assert (first.gradient_quantizer.bits, conv.gradient_quantizer.bits, last.gradient_quantizer) == (8, 6, None)
    assert first.bias is conv.bias is None
    assert last.bias_quantizer is not None


def test_a_shortcut_keeps_eight_bits_with_sign() -> None:
    layers = Layers(Spec.parse("w1a2"))
    shortcut = layers.shortcut(4, 8, 2)
    assert str(shortcut.input_grid) == str(layers.add().input_quantizer.grid) == "signed 8"
    assert str(shortcut.weight_grid) == "narrow 8"
    assert (shortcut.kernel_size, shortcut.stride) == ((1, 1), (2, 2))


def test_a_stream_is_pooled_on_the_grid_of_joins() -> None:
    layers = Layers(Spec.parse("w1a2"))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(layers.stream_pool(3, 2, 1)(x), F.max_pool2d(layers.join()(x), 3, 2, 1))


def test_a_float_spec_gives_float_layers() -> None:
    layers = Layers(Spec.parse("w32a32"))
    for layer in (layers.first(3, 4, 3), layers.conv(4, 4, 3), layers.shortcut(4, 4, 1), layers.last(4, 2)):
        assert layer.weight_quantizer is layer.gradient_quantizer is layer.bias_quantizer is None
    assert layers.add().input_quantizer is None
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(layers.stream_pool(2, 2, 0)(x), F.max_pool2d(x, 2))
    assert isinstance(layers.concat().input_quantizer, nn.ReLU)
    assert isinstance(layers.average().input_quantizer, nn.ReLU)


def test_batch_norms_start_inside_the_bound() -> None:
    layers = Layers(Spec.parse("w1a2"), eps=1e-3)
    norm, centred = layers.conv_norm(3, 4, 1).bn, layers.branch_norm(4)
    x = norm(torch.randn(64, 4, 32, 32)).detach()
    assert 0.003 < float((x > 1).float().mean()) < 0.01
    assert 0.29 < float((x < 0).float().mean()) < 0.33
    assert centred.weight.tolist() == [0.5] * 4
    assert centred.bias.tolist() == [0] * 4
    assert norm.eps == centred.eps == 1e-3


@pytest.mark.parametrize("name", NETS)
def test_gradient_noise_is_each_layers_own(name: str) -> None:
    net = NETS[name](Spec.parse("w2a2g4,first=w8a8g8,last=w8a8g8"))
    seeds = [module.seed for module in net.modules() if isinstance(module, DoReFaGradient)]
    layers = [module for module in net.modules() if isinstance(module, QuantLayer)]
    assert len(seeds) == len(layers)
    assert sorted(seeds) == [*range(len(seeds))]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("bits", ["w2a2g6", "w1a2,weight=balanced", "w8a8g8"])
def test_a_float_checkpoint_loads_with_no_missing_key(name: str, bits: str) -> None:
    keys = NETS[name](Spec.parse(bits)).load_state_dict(NETS[name](Spec.parse("w32a32")).state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
