# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import VGGSmall
from bitlens.quant import Spec
from nets import assert_trains_a_step, multiplications, sides, weights


def test_weights_and_products() -> None:
    with torch.device("meta"):
        net = VGGSmall(Spec.parse("w32a32"))
    convs = [9 * 128 * inputs * wider for inputs, wider in [(3, 1), (128, 1), (128, 2), (256, 2), (256, 4), (512, 4)]]
    assert weights(net) == sum(convs) + 10 * 512 * 16  # 4.66 million
    products = 1024 * sum(convs[:2]) + 256 * sum(convs[2:4]) + 64 * sum(convs[4:]) + 10 * 512 * 16
    assert multiplications(net, 32) == products  # 608 million


def test_maps() -> None:
    net = VGGSmall(Spec.parse("w32a32"), classes=100, width=4)
    assert sides(net, ["conv1", "pool1", "conv3", "pool3", "conv5", "pool5"], 32) == [32, 16, 16, 8, 8, 4]
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 100)


@pytest.mark.parametrize(
    "bits", ["w1a1g2", "w1a2g6,activation=cabs", "w2a2,weight=balanced", "w4a4,weight=lsq,activation=lsq", "w8a8g8"]
)
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(VGGSmall(Spec.parse(bits), width=8), torch.rand(4, 3, 32, 32))
