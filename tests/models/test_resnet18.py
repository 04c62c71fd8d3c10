# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import ResNet18
from bitlens.nn import QuantLayer
from bitlens.quant import Spec
from nets import assert_trains_a_step, multiplications, sides, weights


def test_weights_products_and_depth_are_the_papers() -> None:
    with torch.device("meta"):
        net = ResNet18(Spec.parse("w32a32"))
    layers = [module for module in net.modules() if isinstance(module, QuantLayer)]
    assert len([layer for layer in layers if layer.weight.dim() == 2 or layer.kernel_size != (1, 1)]) == 18
    blocks = 9 * sum(width * (inputs + 3 * width) for inputs, width in [(64, 64), (64, 128), (128, 256), (256, 512)])
    shortcuts = 64 * 128 + 128 * 256 + 256 * 512
    assert weights(net) == 3 * 49 * 64 + blocks + shortcuts + 512 * 1000  # 11.7 million
    assert multiplications(net, 224) / 1e9 == pytest.approx(1.8, rel=0.01)


@pytest.mark.parametrize(("side", "maps"), [(224, [112, 56, 56, 28, 14, 7]), (65, [33, 17, 17, 9, 5, 3])])
def test_maps(side: int, maps: list[int]) -> None:
    with torch.device("meta"):
        net = ResNet18(Spec.parse("w32a32"))
        assert net(torch.zeros(2, 3, side, side)).shape == (2, 1000)
    assert sides(net, ["conv0", "pool0", "stage1", "stage2", "stage3", "stage4"], side) == maps


def test_the_stem_ends_on_the_grid_of_the_stream() -> None:
    torch.manual_seed(0)
    net = ResNet18(Spec.parse("w2a2"), width=4).eval()
    stem = net.pool0(net.bn0(net.conv0(torch.rand(1, 3, 32, 32))))
    assert torch.equal(stem, net.stage1[0].add.input_quantizer(stem))
    assert stem.min() < 0 < stem.max()


@pytest.mark.parametrize(
    "bits", ["w1a1g2", "w2a2g6,weight=balanced", "w3a3,weight=lsq,activation=pact", "w8a8g8", "w32a32"]
)
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(ResNet18(Spec.parse(bits), 10, width=4), torch.rand(4, 3, 64, 64))
