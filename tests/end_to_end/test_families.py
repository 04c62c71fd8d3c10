# SPDX-License-Identifier: Apache-2.0
"""Every family of quantizers: trains without NaN, and trained net == golden == engine."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import bitlens
from bitlens.data import digits
from bitlens.models import DigitsNet
from bitlens.nn import freeze
from bitlens.qonnx.export import export
from bitlens.quant import Spec
from bitlens.results.compare import compare_net
from bitlens.train import TrainError
from bitlens.train.guard import check_finite

GRID = [
    f"w{w}a{a}g{g}" for w in (1, 2, 3, 4, 8) for a, g in ((1, 2), (2, 4), (3, 6), (4, 32), (8, 8))
]  # w1a1g2 ... w8a8g8
FAMILIES = [
    "w1a2,weight=bipolar",
    "w2a2,weight=ternary",
    "w2a2,weight=balanced",
    "w1a2,weight=balanced_max",
    "w3a2,weight=balanced_median",
    "w2a3,weight=mean",
    "w2a3,weight=max",
    "w4a4,weight=uniform",
    "w2a2,weight=lsq,activation=lsq",
    "w8a8,weight=lsq,activation=pact",
    "w4a4,weight=lsq_channel,activation=pact",
    "w2a1,activation=cabs",
    "w2a2,weight=lsq_channel,activation=lsq,scale=pow2",
    "w1a2g4,noise=off",
]


def _trained(bits: str, steps: int) -> tuple[DigitsNet, list[float]]:
    torch.manual_seed(0)
    data = digits()
    net = DigitsNet(Spec.parse(bits))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3, eps=1e-5)
    losses = []
    for step in range(steps):
        chosen = np.random.default_rng(step).permutation(len(data.train.images))[:32]
        images = torch.from_numpy(data.train.images[chosen]).permute(0, 3, 1, 2).float() / 255
        loss = F.cross_entropy(net(images), torch.from_numpy(data.train.labels[chosen]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return net, losses


@pytest.mark.parametrize("bits", GRID + [f"{bits}g2" for bits in ("w1a1", "w8a8")] + FAMILIES)
def test_twenty_steps_without_nan(bits: str) -> None:
    net, losses = _trained(bits, 20)
    assert all(math.isfinite(loss) for loss in losses)
    for name, parameter in net.named_parameters():
        assert torch.isfinite(parameter).all(), name
    if "a1" not in bits and "g2" not in bits:  # the coarsest need longer
        assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("bits", [*FAMILIES, "w1a2,weight=dorefa,activation=lsq,scale=pow2"])
def test_a_nan_weight_shows_and_its_layer_is_named(bits: str) -> None:
    net, images = DigitsNet(Spec.parse(bits)), torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        net.conv1.weight[1, 0, 1, 1] = math.nan
    loss = net(images).square().mean()
    loss.backward()
    with pytest.raises(TrainError) as caught:
        check_finite(net, loss, lambda: net(images), "step 1")
    assert str(caught.value) == "conv1.weight: values must be finite, not nan (step 1)"
    assert not net.eval()(images).isfinite().any()


@pytest.mark.parametrize("bits", FAMILIES)
def test_a_nan_activation_shows_and_its_layer_is_named(bits: str) -> None:
    net, images = DigitsNet(Spec.parse(bits)), torch.rand(4, 1, 8, 8)
    spoil = torch.ones(16, 8, 8)
    spoil[3, 4, 4] = math.nan
    net.bn0.register_forward_hook(lambda module, inputs, output: output * spoil)
    loss = net(images).square().mean()
    loss.backward()
    with pytest.raises(TrainError) as caught:
        check_finite(net, loss, lambda: net(images), "step 1")
    assert str(caught.value) == "bn0: output must be finite, not nan (step 1)"
    assert not net.eval()(images).isfinite().any()


@pytest.mark.parametrize("bits", FAMILIES)
def test_trained_net_golden_and_engine_give_the_same_integers(bits: str) -> None:
    net = freeze(_trained(bits, 10)[0])
    program = bitlens.compile(export(net, torch.zeros(1, 1, 8, 8)))
    images = digits().test.images[:16]
    golden, engine = program.run(images, keep=True), bitlens.Session(program).run(images, keep=True)
    assert len(engine) > 4
    for tensor, found in engine.items():
        np.testing.assert_array_equal(found, golden[tensor], err_msg=tensor)
    report = compare_net(net, program, images)
    assert report["codes"] > 0
    assert report["differing"] == 0
