# SPDX-License-Identifier: Apache-2.0
"""A training step beside the same step written out on numpy's 64-bit integers, and what a net is afterwards."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from bitlens.models import DigitsNet, DoReFaSVHN
from bitlens.models.layers import Layers
from bitlens.quant import Spec
from bitlens.train import TrainError
from bitlens.train.float_free import FloatFree, Ledger, Options

Ints = npt.NDArray[np.int64]
RATE = 2.0**-8  # j = 8
NAMES = ["conv0.weight", "bn0.weight", "bn0.bias", "conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"]


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


# --- the model: every function on plain integers ---


def rd(x: Ints, by: Ints | int) -> Ints:
    """floor(x / by + 1/2)."""
    return np.asarray((2 * x + by) // (2 * np.asarray(by)))


def power_above(x: Ints) -> Ints:
    return np.vectorize(lambda v: 1 << int(v).bit_length())(x).astype(np.int64)


def narrow(x: Ints, bits: int) -> Ints:
    return rd(x << bits, power_above(np.maximum(np.abs(x).max(), 1)))


def shift(x: Ints, bits: int) -> Ints:
    return rd(x, 1 << bits) if bits else x


def mean(x: Ints, fraction: int) -> Ints:
    return rd(rd(x.sum((2, 3)) << fraction, x.shape[2] * x.shape[3]).sum(0), len(x))


def column(x: Ints) -> Ints:
    return x[None, :, None, None]


def windows(x: Ints, w: Ints, pad: int) -> Iterator[tuple[int, int, int, int, Ints]]:
    """Yield (row, column of the output, row, column of the input, window (N, C, 3, 3)) of a padded input."""
    for i in range(x.shape[2] + 2 * pad - 2):
        for j in range(x.shape[3] + 2 * pad - 2):
            yield i, j, i, j, np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))[:, :, i : i + 3, j : j + 3]


def convolve(x: Ints, w: Ints, pad: int) -> Ints:
    y = np.zeros((len(x), len(w), x.shape[2] + 2 * pad - 2, x.shape[3] + 2 * pad - 2), np.int64)
    for i, j, _, _, window in windows(x, w, pad):
        y[:, :, i, j] = np.einsum("nchw,ochw->no", window, w)
    return y


def of_weight(x: Ints, w: Ints, pad: int, g: Ints) -> Ints:
    return sum((np.einsum("nchw,no->ochw", window, g[:, :, i, j]) for i, j, _, _, window in windows(x, w, pad)), w * 0)


def of_input(x: Ints, w: Ints, g: Ints) -> Ints:
    """Without padding."""
    out = np.zeros_like(x)
    for i, j, _, _, _ in windows(x, w, 0):
        out[:, :, i : i + 3, j : j + 3] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
    return out


def statistics(x: Ints, kind: str) -> tuple[Ints, Ints, Ints]:
    average = mean(x, 4)
    deviations = 16 * x - column(average)
    if kind == "l1":
        return average, np.maximum(shift(5 * mean(np.abs(deviations), 0), 2), 16), deviations
    flat = deviations.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    count = min(16, flat.shape[1] // 2)
    size = flat.shape[1] // count
    chunks = flat[:, : count * size].reshape(-1, count, size)
    reach = rd((chunks.max(2) - chunks.min(2)).sum(1), count)
    constant = 0.5 * 0.35 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(size))
    return average, np.maximum(shift(reach * round(constant * 1024), 10), 16), deviations


class Norm:
    """Batch norm, forward and backward."""

    def __init__(self, x: Ints, slope: Ints, intercept: Ints, kind: str) -> None:
        self.mean, self.scale, deviations = statistics(x, kind)
        self.power = power_above(self.scale)
        self.inverse = rd(np.full_like(self.scale, 1 << 24), rd(self.scale << 12, self.power))
        near = np.clip(rd(deviations << 10, column(self.power)), -(2**14) + 1, 2**14 - 1)
        self.hat = shift(near * column(self.inverse), 12)
        self.slope, self.kind = slope, kind
        self.y = shift(self.hat * column(slope) + column(intercept << 10), 12)

    def backward(self, gradient: Ints) -> tuple[Ints, Ints, Ints]:
        g = narrow(gradient, 15)
        coarse = shift(self.hat, 6)
        average, dot = mean(g, 4), mean(g * coarse, 0)
        if self.kind == "l1":
            signs = np.sign(self.hat)
            pulled = shift(column(shift(5 * dot, 2)) * (16 * signs - column(mean(signs, 4))), 4)
        else:
            pulled = shift(column(dot) * coarse, 4)
        bracket = np.clip(16 * g - column(average) - pulled, -(2**20) + 1, 2**20 - 1)
        gain = shift(self.slope * self.inverse, 14)
        excess = np.maximum(power_above(np.maximum(np.abs(gain), 1)) // 2**10, 1)
        divisor = [Fraction(int(a), int(b)) for a, b in zip(self.power, excess, strict=True)]
        divisor = [min(int(value / min(divisor)), 2**30) for value in divisor]
        return rd(bracket * column(rd(gain, excess)), column(np.array(divisor))), dot, average


def rounded_gradient(gradient: Ints, bits: int) -> Ints:
    """Without noise: half of the noise's range."""
    g, n = narrow(gradient, 15), (1 << bits) - 1
    unit = -(-np.abs(g).max(tuple(range(1, g.ndim)), keepdims=True) // n)
    safe = np.maximum(unit, 1)
    codes = np.clip((4096 * (g + n * safe) + 2 * safe * 2048) // (2 * safe * 4096), 0, n)
    return np.asarray(unit * (2 * codes - n))


def softmax(scores: Ints, targets: Ints) -> Ints:
    logs = shift(scores * 369, 8)
    below = np.maximum(logs - logs.max(1, keepdims=True), -15 * 256)
    powers = np.array([round(2 ** (i / 256) * 2**15) for i in range(256)])[below % 256] >> -(below // 256)
    shares = (powers << 15) // powers.sum(1, keepdims=True)
    return np.asarray(shares - (np.arange(3) == targets[:, None]) * 2**15)


def narrow_codes(m: Ints) -> Ints:
    return rd(m * 127, np.abs(m).max())


def follow(running: Ints, target: Ints, share: int) -> Ints:
    pull = target - running
    moved: Ints = running + np.sign(pull) * -(-np.abs(pull) // share)
    return moved


def update(m: Ints, gradient: Ints, running: tuple[Ints, Ints], fraction: int, limit: int) -> tuple[Ints, Any]:
    """To the nearest, at the rate 2^-8."""
    g = narrow(gradient, 14)
    average = np.maximum(rd(np.abs(g).sum(), g.size), 1)
    normal = np.clip(rd(g << 8, power_above(average)), -(2**14), 2**14)
    momentum, magnitude = follow(running[0], normal << 10, 8), follow(running[1], np.abs(normal) << 10, 64)
    exponent = np.floor(np.log2(np.maximum(magnitude, 2**12))).astype(np.int64)  # of magnitudes of 18 fractional bits
    span = 1 << exponent + 8 - fraction
    return np.clip(m - (momentum + span // 2) // span, -limit, limit), (momentum, magnitude)


def model_step(p: dict[str, Ints], running: dict[str, Any], x: Ints, targets: Ints, bits: int, kind: str) -> None:
    """Change parameters and their running means by one step."""
    w0, w1, w2 = narrow_codes(p["conv0.weight"]), np.where(p["conv1.weight"] >= 0, 1, -1), narrow_codes(p["fc.weight"])
    drop = (18 * 127 * 255).bit_length() - 16
    norm0 = Norm(shift(convolve(x, w0, 1), drop), p["bn0.weight"], p["bn0.bias"], kind)  # (N, 3, 6, 6)
    blocks = norm0.y.reshape(5, 3, 3, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(5, 3, 3, 3, 4)
    pooled = blocks.max(4)
    a1 = np.clip(shift(3 * pooled, 10), 0, 3)
    norm1 = Norm(convolve(a1, w1, 0), p["bn1.weight"], p["bn1.bias"], kind)  # (N, 4, 1, 1)
    y1 = norm1.y[:, :, 0, 0]
    a2 = np.clip(shift(255 * y1, 10), 0, 255)
    drop = (4 * 127 * 255).bit_length() - 16
    sums = shift(a2 @ w2.T, drop)
    unit = rd(np.abs(p["fc.weight"]).max() << (15 + 14 - (bits - 1)), 127 * 255)  # of 15 bits
    scores = shift(sums * unit, 15 + 14 - drop - 8) + shift(p["fc.bias"], 4)
    gradient = softmax(scores, targets)
    found = {"fc.bias": gradient.sum(0)}
    g = rounded_gradient(gradient, 8)
    found["fc.weight"] = g.T @ a2
    g = (g @ w2) * ((y1 > 0) & (y1 < 1024))
    g, found["bn1.weight"], found["bn1.bias"] = norm1.backward(g[:, :, None, None])
    g = rounded_gradient(g, 4)
    found["conv1.weight"] = of_weight(a1, w1, 0, g)
    g = of_input(a1, w1, g) * ((pooled > 0) & (pooled < 1024))
    spread = (np.arange(4) == blocks.argmax(4)[..., None]) * g[..., None]  # the first of equals
    g = spread.reshape(5, 3, 3, 3, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(5, 3, 6, 6)
    g, found["bn0.weight"], found["bn0.bias"] = norm0.backward(g)
    found["conv0.weight"] = of_weight(x, w0, 1, rounded_gradient(g, 8))
    for name in NAMES:
        weight = p[name].ndim > 1
        fraction, limit = (bits - 1, 2 ** (bits - 1) - 1) if weight else (12, 2**15 - 1)
        p[name], running[name] = update(p[name], found[name], running[name], fraction, limit)


# --- tests ---


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
