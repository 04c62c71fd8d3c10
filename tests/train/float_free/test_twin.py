# SPDX-License-Identifier: Apache-2.0
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from bitlens.models import DigitsNet, ResNet20
from bitlens.models.layers import Layers
from bitlens.nn import BatchNorm2d, QuantConv2d, QuantConvTranspose2d
from bitlens.quant import DoReFaWeight, Spec, UnsignedInput
from bitlens.train import TrainError
from bitlens.train.float_free import FloatFree, Options
from bitlens.train.float_free.twin import make_twin


def test_the_net_stays_as_it_is() -> None:
    net = DigitsNet(Spec.parse("w1a2g4"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    twin = make_twin(net, Options())
    assert type(twin) is type(net)
    assert {type(module).__name__ for module in net.modules()}.isdisjoint({"TwinLayer", "TwinNorm"})
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        (
            "w2a2g4",
            "conv1: weights must be of 1 bit (weight=dorefa or bipolar), uniform (weight=uniform), or 2 to 8 bits at the ends to train without "
            "float, not DoReFaWeight of 2 bits",
        ),
        (
            "w32a32",
            "conv0: weights must be of 1 bit (weight=dorefa or bipolar), uniform (weight=uniform), or 2 to 8 bits at the ends to train without "
            "float, not float",
        ),
        ("w1a32", "conv1: input must be clip or cabs of 1 to 8 bits to train without float, not float"),
        (
            "w1a2,activation=pact",
            "conv1: input must be clip or cabs of 1 to 8 bits to train without float, not PACTActivation of 2 bits",
        ),
    ],
)
def test_quantizers_without_an_integer_form_are_refused(bits: str, sentence: str) -> None:
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        FloatFree(DigitsNet(Spec.parse(bits)), Options())


def test_modules_without_an_integer_form_are_refused() -> None:
    sentence = (
        "shuffle: must be a convolution, a batch norm, a max pool or the classifier to train without float, "
        "not PixelShuffle; train without --float-free"
    )
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        make_twin(nn.ModuleDict({"shuffle": nn.PixelShuffle(2)}), Options())
    with pytest.raises(TrainError, match=r"to train without float, not \w+"):
        FloatFree(ResNet20(Spec.parse("w1a2g4")), Options())


def test_layers_called_in_another_order_are_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = Layers(Spec.parse("w1a2g4"))
            self.conv0, self.conv1 = layers.first(1, 2, 3), layers.conv(2, 2, 3)
            self.bn1, self.bn0 = layers.norm(2), layers.norm(2)
            self.fc = layers.last(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.bn1(self.conv1(self.bn0(self.conv0(x)))).flatten(1))

    free = FloatFree(Turned(), Options())
    sentence = (
        "net: must be convolutions, each with a batch norm, and a classifier, defined in the order of their calls, to "
        "train without float; train without --float-free"
    )
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        free.step(torch.randint(0, 256, (4, 1, 5, 5)).double(), torch.arange(4) % 3)


def chain(forward: Callable[[Any, Any], Any], more: Callable[[Any], None] = lambda net: None) -> FloatFree:
    """Of a net whose forward goes from what the first batch norm gives to what the second convolution takes."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = Layers(Spec.parse("w1a2g4"))
            self.conv0, self.bn0 = layers.first(1, 2, 3, padding=1), layers.norm(2)
            self.conv1, self.bn1 = layers.conv(2, 2, 3, padding=1), layers.norm(2)
            self.fc = layers.last(50, 3)
            more(self)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = forward(self, self.bn0(self.conv0(x)))
            return self.fc(self.bn1(self.conv1(x)).flatten(1))

    return FloatFree(Net(), Options())


IMAGES, LABELS = torch.randint(0, 256, (4, 1, 5, 5)).double(), torch.arange(4) % 3


@pytest.mark.parametrize(
    ("forward", "kind"),
    [
        (lambda net, x: x + x.flip(0), "Add"),
        (lambda net, x: x * 0.3, "Mul"),
        (lambda net, x: x - x.mean((2, 3), keepdim=True), "Sub"),
        (lambda net, x: nn.functional.avg_pool2d(x, 3, 1, 1), "AvgPool2D"),
        (lambda net, x: x.relu(), "Relu"),
    ],
)
def test_what_lies_between_layers_must_be_a_max_pool_or_another_shape(forward: Any, kind: str) -> None:
    sentence = (
        f"net: must have max pools and reshapes alone between its layers to train without float, not {kind}; train "
        "without --float-free"
    )
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        chain(forward).step(IMAGES, LABELS)


@pytest.mark.parametrize(
    "forward", [lambda net, x: nn.functional.max_pool2d(x, 3, 1, 1), lambda net, x: x.flatten(2).view_as(x)]
)
def test_max_pools_and_reshapes_may_lie_between_layers(forward: Any) -> None:
    free = chain(forward)
    free.set_rate(2.0**-8)
    free.step(IMAGES, LABELS)


def test_a_parameter_of_the_net_s_own_is_refused() -> None:
    def more(net: Any) -> None:
        net.gain = nn.Parameter(torch.ones(1))

    with pytest.raises(
        TrainError, match=r"^gain: must be a weight or bias of a convolution, a batch norm or the classifier"
    ):
        chain(lambda net, x: x, more)


def test_layers_of_other_kinds_are_refused() -> None:
    spec = Spec.parse("w1a2g4")
    quantizers = {"weight_quantizer": DoReFaWeight(1), "input_quantizer": UnsignedInput(8)}
    with pytest.raises(TrainError, match=r"^0: must be a convolution, .* not QuantConvTranspose2d;"):
        make_twin(nn.Sequential(QuantConvTranspose2d(1, 2, 3, bias=False, **quantizers)), Options())
    with pytest.raises(TrainError, match=r"^0: padding must be numbers to train without float, not same$"):
        make_twin(nn.Sequential(QuantConv2d(1, 2, 3, padding="same", bias=False, **quantizers)), Options())
    sentence = (
        "0: input must be pixels (UnsignedInput) of 1 to 8 bits to train without float, not DoReFaActivation of 2 bits"
    )
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        make_twin(nn.Sequential(Layers(spec).conv(1, 2, 3)), Options())
    sentence = "1: input must be clip or cabs of 1 to 8 bits to train without float, not UnsignedInput of 8 bits"
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        make_twin(nn.Sequential(Layers(spec).first(1, 2, 3), Layers(spec).first(2, 2, 3)), Options())


def test_one_value_a_channel_is_refused() -> None:
    net = nn.Sequential(Layers(Spec.parse("w1a2g4")).first(1, 2, 5), BatchNorm2d(2), nn.Flatten())
    net.append(Layers(Spec.parse("w1a2g4")).last(2, 3))
    free = FloatFree(net, Options())
    sentence = "BatchNorm2d: a batch must have at least 2 values a channel in training, not 1 as of (1, 2, 1, 1)"
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        free.step(IMAGES[:1], LABELS[:1])


def test_batch_norm_without_slope_is_refused() -> None:
    with pytest.raises(TrainError, match=r"^0: must be a convolution, a batch norm, .* not BatchNorm2d;"):
        make_twin(nn.Sequential(BatchNorm2d(3, affine=False)), Options())


def test_a_convolution_with_a_bias_is_refused() -> None:
    conv = QuantConv2d(1, 2, 3, input_quantizer=UnsignedInput(8), weight_quantizer=DoReFaWeight(1))
    with pytest.raises(TrainError, match=r"^0: a convolution must have no bias to train without float$"):
        make_twin(nn.Sequential(conv), Options())


def test_a_chain_without_batch_norm_is_refused() -> None:
    layers = Layers(Spec.parse("w1a2g4"))
    with pytest.raises(
        TrainError, match=r"^net: must be convolutions, each with a batch norm, and a classifier, defined"
    ):
        FloatFree(nn.Sequential(layers.first(1, 2, 3), nn.Flatten(), layers.last(2, 3)), Options())
