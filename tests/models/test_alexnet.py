# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from bitlens.models import AlexNet
from bitlens.quant import Spec
from nets import assert_trains_a_step, multiplications, sides, weights


def test_weights_and_products_are_the_authors_nets() -> None:
    with torch.device("meta"):
        net = AlexNet(Spec.parse("w32a32"))
    convs = 96 * 3 * 144 + 256 * 48 * 25 + 9 * (384 * 256 + 384 * 192 + 256 * 192)
    assert weights(net) == convs + 256 * 36 * 4096 + 4096 * 4096 + 4096 * 1000  # 61 million
    assert multiplications(net, 224) / 1e6 == pytest.approx(120.9 + 895.8 + 645.0 + 130.1 + 86.7 + 58.6, rel=1e-3)


def test_maps() -> None:
    with torch.device("meta"):
        net = AlexNet(Spec.parse("w32a32"))
        assert net(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)
    names = ["conv0", "pool1", "pool2", "conv4", "pool4", "conv5", "conv6"]
    assert sides(net, names, 224) == [54, 27, 14, 14, 6, 1, 1]


@pytest.mark.parametrize("width", [1.0, 0.3, 1 / 16])
def test_three_convolutions_have_two_groups_at_any_width(width: float) -> None:
    with torch.device("meta"):
        net = AlexNet(Spec.parse("w32a32"), width=width)
    convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert [conv.groups for conv in convs] == [1, 2, 1, 2, 2, 1, 1]


@pytest.mark.parametrize(
    "bits", ["w1a1g2", "w1a2g6", "w2a2,weight=balanced", "w4a4,weight=lsq,activation=lsq", "w8a8g8", "w32a32"]
)
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(AlexNet(Spec.parse(bits), 10, width=1 / 16), torch.rand(3, 3, 224, 224))
