# SPDX-License-Identifier: Apache-2.0
"""Nets of the zoo, made small: trained net == golden == engine, every integer."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import bitlens
from bitlens.models import AlexNet, BitFCN, FaceClearness, FacePose, MobileNet, ResNet18, ResNet20, VGGSmall
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results.compare import compare_net

NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet20 w2a2": (lambda: ResNet20(Spec.parse("w2a2"), width=8), 16),
    "bitfcn w2a2": (lambda: BitFCN(Spec.parse("w2a2"), width=8), 16),
    "alexnet w1a2": (lambda: AlexNet(Spec.parse("w1a2"), 10, width=1 / 16), 224),
    "resnet18 w2a2 pact": (lambda: ResNet18(Spec.parse("w2a2,activation=pact"), 10, width=4), 64),
    "vgg w2a2 balanced": (lambda: VGGSmall(Spec.parse("w2a2,weight=balanced"), width=8), 32),
    "mobilenet w4a4 lsq": (lambda: _mobilenet("w4a4,weight=lsq,activation=lsq"), 32),
    "face clearness w2a2": (lambda: FaceClearness(Spec.parse("w2a2"), width=9), 40),
    "face pose w2a2": (lambda: FacePose(Spec.parse("w2a2"), width=8), 64),
}


def _mobilenet(bits: str) -> nn.Module:
    return MobileNet(Spec.parse(bits), 10, width=1 / 8, small=True)


def _trained(make: Callable[[], nn.Module], side: int) -> nn.Module:
    """Frozen, with batch norms as training leaves them."""
    torch.manual_seed(0)
    net = make()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.mul_(torch.randn_like(layer.weight))
                layer.bias.add_(0.3 * torch.randn_like(layer.bias))
        for _ in range(4):
            net(torch.rand(8, _channels(net), side, side))
    return freeze(net)


def _channels(net: nn.Module) -> int:
    return next(layer.in_channels for layer in net.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("name", NETS)
def test_trained_net_golden_and_engine_give_the_same_integers(name: str) -> None:
    make, side = NETS[name]
    net = _trained(make, side)
    program = bitlens.compile(export(net, torch.zeros(1, _channels(net), side, side)))
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, _channels(net))).astype(np.uint8)
    golden = program.run(images, keep=True)
    engine = bitlens.Session(program).run(images, keep=True)
    assert {*program.graph.outputs} <= {*engine} or {*program.graph.output_names.values()} <= {*engine}
    for tensor, found in engine.items():
        np.testing.assert_array_equal(found, golden[tensor], err_msg=tensor)
    report = compare_net(net, program, images)
    assert report["codes"] > 0
    assert report["differing"] == 0
