# SPDX-License-Identifier: Apache-2.0
"""Master weights as integers, and the step that changes them.

Update of a master M of b bits (unit 2^-f), from integers G of any unit, at the rate 2^-j:

    g = G 2^8 / P, within 64                         P: the power of two above mean|G|, so that a parameter's mean |g|
                                                     lies in 1/2..1, with 8 bits behind the point
    m = m + (g 2^10 - m) / 8                         momentum 7/8, 18 bits behind the point; starts at 0
    a = a + (|g| 2^10 - a) / 64                      magnitude of the element's gradients, likewise; starts at 2^18, which is 1
    M = M - floor(m 2^(f - j) / p + noise)           p: the largest power of two at most a, but no less than 2^12
                                                     noise uniform in [0, 1): stochastic; 1/2: nearest

saturated to b bits. What m and a are pulled by is rounded away from zero: they follow to the last bit, and gradients of zero
end their pull. At a rate of 0 M stays. All parameters lie in one vector, because that is few operations.
An element's step is thus as long as its gradients agree, not as they are large: Adam, with the mean magnitude for the root of
the mean square and a shift for the division.
Sources: fixed-point weights with stochastic rounding, arXiv 1502.02551; gradients scaled by a power of two of their layer,
arXiv 1802.04680 (WAGE); shifts in the place of a rate and of an element's division, arXiv 1602.02830 (shift-based AdaMax).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bitlens.train.float_free.arithmetic import draw, power_above, quotient, rounded
from bitlens.train.recipe import TrainError

__all__ = ["Masters", "power_of_rate", "power_within"]

_NORMAL = 8  # bits of a normalized gradient behind the point
_RUNNING = 18  # of momentum and magnitude
_REACH = float(1 << 14)  # 64 times the mean
_LEAST = 12  # bits of the least magnitude that a step is divided by: 2^-6
_NOISE = 30
_GRADIENT = 14


def power_of_rate(rate: float) -> int:
    """Return j of the power of two 2^-j nearest to a rate, by ratio; the rate is positive."""
    return -math.floor(math.log2(rate) + 0.5)


def power_within(rate: float, fraction: int) -> int:
    """Return `power_of_rate`, of masters with at most so many bits behind the point.

    Raises:
        TrainError: the last bit of a momentum, over the least magnitude, would be more than a master's unit.
    """
    power, least = power_of_rate(rate), fraction - _LEAST
    if power < least:
        most = 2.0 ** (0.5 - least)  # which is nearest to 2^-least still
        raise TrainError(f"rate: must be less than {most:.4g} for these masters, not {rate}")
    return power


class Masters:
    """All parameters of a net: their integers, their momenta and magnitudes, and what the rate is just now.

    Args:
        real: by name, the values they start from.
        bits: by name, of an integer, sign included.
        fractions: by name, bits behind the point.
        noise: round updates stochastically, else to the nearest.
    """

    def __init__(
        self, real: Mapping[str, Tensor], bits: Mapping[str, int], fractions: Mapping[str, int], noise: bool
    ) -> None:
        self.names, self.noise, self.fractions = [*real], noise, dict(fractions)
        self.shapes = [tensor.shape for tensor in real.values()]
        self.sizes = [tensor.numel() for tensor in real.values()]
        device = next(iter(real.values())).device

        def spread(values: Sequence[int]) -> Tensor:
            """One value a parameter -> one an element, (elements,)."""
            each = torch.tensor(values, dtype=torch.float64, device=device)
            return each.repeat_interleave(torch.tensor(self.sizes, device=device))

        self.owner = spread(range(len(self.names))).long()
        self.counts = torch.tensor(self.sizes, dtype=torch.float64, device=device)
        self.limit = spread([(1 << (bits[name] - 1)) - 1 for name in self.names])
        self.fraction = spread([fractions[name] for name in self.names])
        self.value = torch.zeros_like(self.limit)
        self.momentum = torch.zeros_like(self.limit)
        self.magnitude = torch.full_like(self.limit, float(1 << _RUNNING))
        self.span = torch.ones_like(self.limit)
        self.parts = dict(zip(self.names, self._split(self.value), strict=True))
        self.power: int | None = None
        self.still = False
        self.read(real)

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def read(self, real: Mapping[str, Tensor]) -> None:
        """Take over real values, rounded to the nearest integer."""
        flat = torch.cat([real[name].detach().double().reshape(-1) for name in self.names])
        whole = torch.floor(flat * 2.0**self.fraction + 0.5)
        self.value.copy_(torch.minimum(torch.maximum(whole, -self.limit), self.limit))

    def real(self) -> dict[str, Tensor]:
        """Return the real values by name, float32, exact."""
        return {name: (part * 2.0 ** -self.fractions[name]).float() for name, part in self.parts.items()}

    def set_rate(self, rate: float) -> None:
        """Set the rate, to the nearest power of two, or to 0.

        Raises:
            TrainError: the last bit of a momentum, over the least magnitude, would be more than a master's unit.
        """
        self.still = rate == 0
        if self.still:
            return
        power = power_within(rate, max(self.fractions.values()))
        if power == self.power:
            return
        self.span.copy_(2.0 ** (power - self.fraction).clamp(max=2 * _NOISE))  # finite
        self.power = power

    def update(self, gradients: Mapping[str, Tensor]) -> None:
        """Take one step against gradients, integers of any unit, by name."""
        found = [gradients[name] for name in self.names]
        flat = torch.cat([gradient.reshape(-1) for gradient in found])
        largest = torch.stack(torch._foreach_norm(found, math.inf)).clamp(min=1)
        units = float(1 << _GRADIENT) / power_above(largest)  # powers of two: the largest has 14 bits
        g = torch.floor(flat * units[self.owner] + 0.5)
        sums = torch.stack(torch._foreach_norm(torch.split(g, self.sizes), 1))
        means = rounded(sums, self.counts).clamp(min=1)
        normal = rounded(g * float(1 << _NORMAL), power_above(means)[self.owner]).clamp(-_REACH, _REACH)
        target = normal * float(1 << (_RUNNING - _NORMAL))
        _follow(self.momentum, target, 8.0)
        _follow(self.magnitude, target.abs(), 64.0)
        if self.still:
            return
        span = self.span * power_above(self.magnitude.clamp(min=float(1 << _LEAST))) / 2  # of one master's unit
        levels = span.clamp(max=float(1 << _NOISE))
        whole = draw(self.value, 1 << _NOISE) if self.noise else torch.full_like(self.value, float(1 << _NOISE - 1))
        noise = quotient(whole, float(1 << _NOISE) / levels)  # 0..levels-1, or its half
        # Where a span has more than the noise's bits, momenta lose their last ones: less than 2^-30 of a unit a step.
        change = quotient(quotient(self.momentum, span / levels) + noise, levels)
        self.value.copy_(torch.minimum(torch.maximum(self.value - change, -self.limit), self.limit))


def _follow(running: Tensor, target: Tensor, share: float) -> None:
    """Move running means towards integers by a share of the distance, rounded away from zero."""
    pull = target - running
    running += pull.sign() * quotient(pull.abs() + (share - 1), share)
