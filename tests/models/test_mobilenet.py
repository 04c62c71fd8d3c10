# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import MobileNet
from bitlens.quant import Spec
from nets import assert_trains_a_step, multiplications, sides, weights


@pytest.mark.parametrize(
    ("width", "mega", "millions"), [(1.0, 569, 4.2), (0.75, 325, 2.6), (0.5, 149, 1.3), (0.25, 41, 0.5)]
)
def test_widths_are_the_papers(width: float, mega: int, millions: float) -> None:
    with torch.device("meta"):
        net = MobileNet(Spec.parse("w32a32"), width=width)
    assert multiplications(net, 224) / 1e6 == pytest.approx(mega, rel=0.01)
    assert round(weights(net) / 1e6, 1) == millions


@pytest.mark.parametrize(("small", "side", "maps"), [(False, 224, [112, 56, 28, 14, 7]), (True, 32, [32, 16, 8, 4, 2])])
def test_maps(small: bool, side: int, maps: list[int]) -> None:
    net = MobileNet(Spec.parse("w32a32"), 10, width=1 / 16, small=small)
    assert sides(net, ["conv0", "pairs.1", "pairs.3", "pairs.5", "pairs.12"], side) == maps
    assert net(torch.rand(2, 3, side, side)).shape == (2, 10)


def test_both_halves_of_a_pair_have_the_middles_bits() -> None:
    net = MobileNet(Spec.parse("w1a2g6"), width=1 / 8)
    assert len(net.pairs) == 13
    for pair in net.pairs:
        depthwise, pointwise = pair.depthwise.conv, pair.pointwise.conv
        assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == pointwise.in_channels
        assert (depthwise.kernel_size, pointwise.kernel_size) == ((3, 3), (1, 1))
        for layer in (depthwise, pointwise):
            assert str(layer.weight_grid) == "bipolar"
            assert str(layer.input_grid) == "unsigned 2"
            assert layer.gradient_quantizer.bits == 6


@pytest.mark.parametrize(
    "bits", ["w1a1g2", "w2a2g6,weight=balanced", "w4a4,weight=lsq_channel,activation=lsq", "w8a8g8", "w32a32"]
)
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(MobileNet(Spec.parse(bits), 10, width=1 / 8, small=True), torch.rand(4, 3, 32, 32))
