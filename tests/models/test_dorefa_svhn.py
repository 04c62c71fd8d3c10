# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import DoReFaSVHN
from bitlens.models.dorefa_svhn import SIZES
from bitlens.quant import Spec
from nets import assert_trains_a_step, multiplications, weights


@pytest.mark.parametrize(
    ("size", "mega", "kilo"), [("A", 41.7, 2080), ("B", 11.6, 522), ("C", 3.48, 132), ("D", 1.16, 33)]
)
def test_sizes_are_the_papers(size: str, mega: float, kilo: int) -> None:
    net = DoReFaSVHN(Spec.parse("w1a2"), size)
    assert abs(multiplications(net, 40) / 1e6 / mega - 1) < 0.01
    assert abs(weights(net) / 1e3 / kilo - 1) < 0.02


def test_ends_have_eight_bits_and_the_middle_the_spec() -> None:
    net = DoReFaSVHN(Spec.parse("w1a2g6"), "D")
    assert str(net.conv0.input_grid) == "unsigned 8"
    assert str(net.conv0.weight_grid) == str(net.fc.weight_grid) == "narrow 8"
    for layer in (net.conv1, net.conv2, net.conv3, net.conv4, net.conv5, net.conv6):
        assert str(layer.weight_grid) == "bipolar"
        assert str(layer.input_grid) == "unsigned 2"
        assert layer.gradient_quantizer.bits == 6
    seeds = {layer.gradient_quantizer.seed for layer in (net.conv1, net.conv2, net.conv3)}
    assert len(seeds) == 3


@pytest.mark.parametrize("bits", ["w1a2g6", "w2a2,weight=balanced,activation=cabs", "w8a8g8", "w32a32"])
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(DoReFaSVHN(Spec.parse(bits), "D"), torch.rand(4, 3, 40, 40))


def test_unknown_size_is_told() -> None:
    assert [*SIZES] == ["A", "B", "C", "D"]
    with pytest.raises(ValueError, match=r"^DoReFaSVHN: size must be one of A, B, C, D, not E$"):
        DoReFaSVHN(Spec.parse("w1a2"), "E")
