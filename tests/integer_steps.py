# SPDX-License-Identifier: Apache-2.0
"""A step of training without float on numpy's 64-bit integers: every function of it written out, slow and plain.

The net is two convolutions of 3x3 with batch norm, a max pool of 2x2 between them and a classifier, for images of 2x6x6 and
three classes: `model_step` changes its parameters, by name.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NAMES", "Ints", "model_step"]

Ints = npt.NDArray[np.int64]
NAMES = ["conv0.weight", "bn0.weight", "bn0.bias", "conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"]


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


def windows(x: Ints, pad: int) -> Iterator[tuple[int, int, Ints]]:
    """Yield (row, column of the output, window (N, C, 3, 3)) of a padded input."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    for i in range(padded.shape[2] - 2):
        for j in range(padded.shape[3] - 2):
            yield i, j, padded[:, :, i : i + 3, j : j + 3]


def convolve(x: Ints, w: Ints, pad: int) -> Ints:
    y = np.zeros((len(x), len(w), x.shape[2] + 2 * pad - 2, x.shape[3] + 2 * pad - 2), np.int64)
    for i, j, window in windows(x, pad):
        y[:, :, i, j] = np.einsum("nchw,ochw->no", window, w)
    return y


def of_weight(x: Ints, w: Ints, pad: int, g: Ints) -> Ints:
    return sum((np.einsum("nchw,no->ochw", window, g[:, :, i, j]) for i, j, window in windows(x, pad)), w * 0)


def of_input(x: Ints, w: Ints, g: Ints) -> Ints:
    """Without padding."""
    out = np.zeros_like(x)
    for i, j, _ in windows(x, 0):
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
