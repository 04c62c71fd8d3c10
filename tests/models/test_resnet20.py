# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import ResNet20
from bitlens.nn import QuantLayer
from bitlens.quant import Spec
from nets import assert_trains_a_step, weights


def test_weights_and_depth_are_the_papers() -> None:
    net = ResNet20(Spec.parse("w2a2"))
    assert abs(sum(p.numel() for p in net.parameters()) / 0.27e6 - 1) < 0.02
    layers = [m for m in net.modules() if isinstance(m, QuantLayer)]
    weighted = [m for m in layers if m.weight.dim() == 2 or m.kernel_size == (3, 3)]
    assert len(weighted) == 20
    # 3x3: 3*16*9 + 6*16*16*9 + (16*32 + 5*32*32)*9 + (32*64 + 5*64*64)*9; 1x1: 16*32 + 32*64; classifier 640
    assert weights(net) == 432 + 13824 + 50688 + 202752 + 2560 + 640


def test_maps_and_strides() -> None:
    net = ResNet20(Spec.parse("w32a32")).eval()
    x = net.conv0(torch.rand(1, 3, 32, 32))
    for stage, shape in zip((net.stage1, net.stage2, net.stage3), [(16, 32), (32, 16), (64, 8)], strict=True):
        x = stage(x)
        assert x.shape == (1, shape[0], shape[1], shape[1])
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("bits", ["w1a2g6", "w2a2,weight=balanced,activation=cabs", "w8a8g8", "w32a32"])
def test_every_spec_trains_a_step(bits: str) -> None:
    torch.manual_seed(0)
    assert_trains_a_step(ResNet20(Spec.parse(bits), width=4), torch.rand(4, 3, 16, 16))


def test_joins_may_be_float() -> None:
    text = "w2a2g32,first=w8a8g32,last=w8a8g32,weight=dorefa,activation=clip,join=float"
    assert str(Spec.parse(text)) == text
    net = ResNet20(Spec.parse("w2a2,join=float"))
    assert all(block.add.input_quantizer is None for block in net.stage1)
    assert net.stage2[0].shortcut[0].input_quantizer is None
    assert all(block.add.input_quantizer is not None for block in ResNet20(Spec.parse("w2a2")).stage1)
