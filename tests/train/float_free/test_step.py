# SPDX-License-Identifier: Apache-2.0
"""A training step beside the same step written out on numpy's 64-bit integers, and what a net is afterwards."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitlens.models import DigitsNet, DoReFaSVHN
from bitlens.models.layers import Layers
from bitlens.quant import Spec
from bitlens.train import TrainError
from bitlens.train.float_free import FloatFree, Ledger, Options
from integer_steps import NAMES, Ints, model_step

RATE = 2.0**-8  # j = 8


class Small(nn.Module):
    """Two convolutions, a max pool and a classifier, for images of 2x6x6."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(2, 3, 3, padding=1), layers.norm(3)
        self.pool = nn.MaxPool2d(2)
        self.conv1, self.bn1 = layers.conv(3, 4, 3), layers.norm(4)
        self.fc = layers.last(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.pool(self.bn0(self.conv0(x)))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


@pytest.mark.parametrize("masters", range(8, 17))
def test_the_rate_is_told_from_the_options_as_from_the_net(masters: int) -> None:
    options = Options(masters)
    free = FloatFree(Small(Spec.parse(SPEC)), options)
    for power in range(-2, 6):
        told = []
        for check in (free.set_rate, options.check_rate):
            try:
                check(2.0**-power)
                told.append("")
            except TrainError as error:
                told.append(str(error))
        assert told[0] == told[1]
        assert bool(told[0]) == (power < max(0, masters - 13))


SPEC = "w1a2g4,first=w8a8g8,last=w8a8g8,noise=off"


def small(seed: int, options: str) -> FloatFree:
    torch.manual_seed(seed)
    free = FloatFree(Small(Spec.parse(SPEC)).train(), Options.parse(options))
    free.set_rate(RATE)
    return free


def batch(seed: int) -> tuple[Ints, Ints]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (5, 2, 6, 6)), rng.integers(0, 3, 5)


@pytest.mark.parametrize("kind", ["l1", "range"])
@pytest.mark.parametrize(("bits", "seed"), [(8, 0), (12, 1), (16, 2)])
def test_steps_equal_those_on_plain_integers(kind: str, bits: int, seed: int) -> None:
    free = small(seed, f"masters={bits},norm={kind},rounding=nearest")
    parameters = {name: part.numpy().astype(np.int64) for name, part in free.masters.parts.items()}
    running = {name: (0 * value, 0 * value + 2**18) for name, value in parameters.items()}
    assert {*parameters} == {*NAMES}
    for step in range(4):
        x, targets = batch(10 * seed + step)
        free.step(torch.from_numpy(x).double(), torch.from_numpy(targets))
        model_step(parameters, running, x, targets, bits, kind)
        for name, part in free.masters.parts.items():
            assert np.array_equal(part.numpy(), parameters[name]), name


@pytest.mark.parametrize(
    ("bits", "options"),
    [
        ("w1a2g4", "masters=8"),
        ("w2a2g8,weight=uniform", "norm=range,masters=12"),
        ("w1a1,activation=cabs,last=w1a2", "rounding=nearest"),
    ],
)
def test_no_tensor_of_a_step_is_float(bits: str, options: str) -> None:
    torch.manual_seed(0)
    free = FloatFree(DigitsNet(Spec.parse(bits)).train(), Options.parse(options))
    assert_no_floats(free, torch.randint(0, 256, (8, 1, 8, 8)).double(), torch.randint(0, 10, (8,)))


@pytest.mark.parametrize("norm", ["l1", "range"])
def test_no_tensor_of_a_large_step_is_float(norm: str) -> None:
    """Of the net that the table trains, with slopes and intercepts as far out as they can be."""
    torch.manual_seed(0)
    net = DoReFaSVHN(Spec.parse("w1a2g4"), "C").train()
    for at, layer in enumerate(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.constant_(layer.weight, (8.0, -8.0, 1 / 3)[at % 3])
        nn.init.constant_(layer.bias, (0.5, 8.0, -8.0)[at // 2 % 3])
    free = FloatFree(net, Options(norm=norm))
    assert_no_floats(free, torch.randint(0, 256, (32, 3, 40, 40)).double(), torch.randint(0, 10, (32,)))


@pytest.mark.parametrize("batch_size", [2, 31])
def test_no_tensor_of_later_steps_is_float(batch_size: int) -> None:
    torch.manual_seed(0)
    free = FloatFree(DigitsNet(Spec.parse("w1a2g4")).train(), Options())
    free.set_rate(2.0**-5)
    for step in range(30):
        x, targets = torch.randint(0, 256, (batch_size, 1, 8, 8)).double(), torch.arange(batch_size) % 10
        if step % 10 == 9:
            assert_no_floats(free, x, targets)
        else:
            free.step(x, targets)


def assert_no_floats(free: FloatFree, x: Tensor, targets: Tensor) -> None:
    if free.masters.power is None:
        free.set_rate(2.0**-9)
    with Ledger() as ledger:
        free.step(x, targets)
    assert ledger.floats == 0, ledger.offenders
    assert ledger.tensors > 500
    assert ledger.widest <= 32


@pytest.mark.parametrize("last", ["w2a2", "w2a1", "w3a1", "w2a8", "w4a4", "w8a8", "w1a2", "w1a8"])
@pytest.mark.parametrize("weight", ["dorefa", "uniform", "bipolar"])
@pytest.mark.parametrize("masters", [8, 16])
def test_scores_are_those_of_the_net(last: str, weight: str, masters: int) -> None:
    torch.manual_seed(0)
    bits = "w1" if weight in ("dorefa", "bipolar") else "w2"
    free = FloatFree(Small(Spec.parse(f"{bits}a2g4,weight={weight},last={last}")).train(), Options(masters))
    free.write()
    sums = torch.randint(-(2**15), 2**15, (50, 3)).double()
    found = free._scores(sums) / 2**8
    layer = free.net.get_submodule("fc")
    wanted = (sums * 2.0**free.last.drop * free.last.unit(layer.weight) + layer.bias.double()).detach()
    assert (found - wanted).abs().max() <= 2.0**-8 + 2.0**-12 * float(wanted.abs().max())


def test_the_step_of_a_net_with_float_batch_norm_is_full_of_floats() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).double()
    net[0].weight.data.round_()  # the convolution of integers is none of them
    net[0].bias.data.zero_()
    with Ledger() as ledger:
        loss = nn.functional.cross_entropy(net(torch.randint(0, 256, (8, 1, 8, 8)).double()), torch.arange(8))
        loss.backward()
    assert ledger.floats > 10
    assert any("batch_norm" in name for name in ledger.offenders)
    assert not any("convolution.default" in name for name in ledger.offenders)


def test_it_learns_a_batch_by_heart() -> None:
    torch.manual_seed(0)
    net = DigitsNet(Spec.parse("w1a2g4")).train()
    free = FloatFree(net, Options.parse("masters=12"))
    free.set_rate(2.0**-8)
    x, targets = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    losses = [float(free.learn(x, targets)[0]) for _ in range(40)]
    assert losses[0] > 2
    assert losses[-1] < 0.3
    free.write()
    assert int((net.eval()(x).argmax(1) == targets).sum()) >= 18


def test_the_net_takes_over_masters_and_statistics() -> None:
    free = small(0, "masters=8")
    free.set_rate(2.0**-40)  # the weights stay, the statistics do not
    net = free.net
    assert isinstance(net, Small)
    x, targets = batch(0)
    for _ in range(60):
        free.step(torch.from_numpy(x).double(), torch.from_numpy(targets))
    free.write()
    for name, part in free.masters.parts.items():
        unit = 2.0**-7 if part.dim() > 1 else 2.0**-12
        assert torch.equal(net.get_parameter(name).double(), part * unit)
    images = torch.from_numpy(x).float() / 255
    sums = net.eval().conv0(images)
    assert torch.allclose(net.bn0.running_mean, sums.mean((0, 2, 3)), atol=0.002)
    scale = 1.2533 * (sums - sums.mean((0, 2, 3), keepdim=True)).abs().mean((0, 2, 3))
    assert torch.allclose((net.bn0.running_var + net.bn0.eps).sqrt(), scale, rtol=0.01)


def test_statistics_are_taken_over_as_they_are_given_back() -> None:
    free = small(0, "")
    net = free.net
    assert isinstance(net, Small)
    for norm in (net.bn0, net.bn1):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.1, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    free.read()
    free.write()
    for name, value in net.state_dict().items():
        assert torch.allclose(value, before[name], atol=2e-3), name
    once = {name: value.clone() for name, value in net.state_dict().items()}
    free.read()
    free.write()
    for name, value in net.state_dict().items():
        assert torch.allclose(value, once[name], atol=1e-6), name


def test_a_run_goes_on_from_its_state() -> None:
    def train(free: FloatFree, steps: range) -> None:
        for step in steps:
            torch.manual_seed(step)
            x, targets = batch(step)
            free.step(torch.from_numpy(x).double(), torch.from_numpy(targets))

    whole, first, second = (small(0, "") for _ in range(3))
    train(whole, range(6))
    train(first, range(3))
    second.load_state_dict(first.state_dict())
    train(second, range(3, 6))
    for free in (whole, second):
        free.write()
    for a, b in zip(whole.net.state_dict().values(), second.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
