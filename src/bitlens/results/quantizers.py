# SPDX-License-Identifier: Apache-2.0
"""Curves and entropies of the quantizers, taken from the quantizers themselves, for `bitlens plot` and the docs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitlens.plots.canvas import PlotError
from bitlens.plots.histograms import entropy_bits
from bitlens.plots.quantizers import Curve
from bitlens.quant import (
    BalancedWeight,
    DoReFaActivation,
    FixedPoint,
    JoinActivation,
    LSQActivation,
    NarrowWeight,
    PACTActivation,
    Quantizer,
    Spec,
    UnitActivation,
    UnsignedInput,
    dorefa_gradient,
)
from bitlens.quant.base import per_channel

__all__ = ["activation_curves", "gradient_curves", "render", "used_bits", "weight_curves"]

Used = dict[str, dict[str, dict[int, float]]]
Panels = dict[str, list[Curve]]

FAMILIES = (
    "dorefa",
    "uniform",
    "mean",
    "max",
    "balanced",
    "balanced_median",
    "balanced_max",
    "ternary",
    "bipolar",
    "lsq",
    "lsq_channel",
)
_ONLY_BITS = {"bipolar": 1, "ternary": 2}
_BY_CHANNEL = ("bipolar", "lsq_channel")
_POINTS = 2001
_DRAWS = 1000
_MEAN = 0.05  # mean magnitude of weights whose entropy is taken, about that of trained layers


def weight_curves(bits: int) -> Panels:
    """Return the curves of all weight quantizers on a layer of Gaussian weights, standard deviation 1/2.

    Families with a scale a channel have a second channel of half the size. Bipolar has 1 bit, ternary 2.

    Args:
        bits: 2 to 8.
    """
    share = (torch.arange(_POINTS, dtype=torch.float64) + 0.5) / _POINTS
    layer = 0.5 * torch.special.ndtri(share).float()[None]  # (1, points)
    channels = torch.cat([layer, layer / 2])  # (2, points)
    panels = {_titled("dorefa", 1): _curves(_family("dorefa", 1), layer)}
    for name in FAMILIES:
        family = _nearest_family(name, _checked(bits))
        panels[_titled(name, family.bits)] = _curves(family, channels if name in _BY_CHANNEL else layer)
    panels[_titled('balanced, slope="leaf"', bits)] = _curves(BalancedWeight(bits, slope="leaf"), layer)
    panels[_titled("mean, scale=pow2", bits)] = _curves(_family("mean", bits, scale="pow2"), layer)
    panels[_titled("narrow (first, last)", bits)] = _curves(NarrowWeight(bits), layer)
    return panels


def activation_curves(bits: int) -> Panels:
    """Return the curves of all quantizers of what enters a layer; learned reaches are where they start.

    Args:
        bits: 2 to 8.
    """
    _checked(bits)
    quantizers: dict[str, Quantizer] = {
        "clip": DoReFaActivation(bits, "clip"),
        "cabs": DoReFaActivation(bits, "cabs"),
        "pact": PACTActivation(bits),
        "lsq": LSQActivation(bits),
        "pact, scale=pow2": PACTActivation(bits, shift=True),
        "join, reach 1": JoinActivation(bits, 1.0),
        "image": UnsignedInput(bits),
        "recurrent state": UnitActivation(bits),
        f"fixed point, {bits - 1} behind": FixedPoint(bits, bits - 1),
    }
    x = torch.linspace(-1.25, 1.75, _POINTS)[None]
    return {_titled(name, bits): _curves(quantizer, x) for name, quantizer in quantizers.items()}


def gradient_curves(bits: int) -> Panels:
    """Return the gradient quantizer with and without noise over a sample of gradients from -1 to 1.

    Args:
        bits: 2 to 8.
    """
    g = torch.linspace(-1, 1, _POINTS)[None]
    generator = torch.Generator().manual_seed(0)
    draws = torch.cat([dorefa_gradient(g, _checked(bits), generator) for _ in range(_DRAWS)])  # (draws, points)
    noisy = {"one draw": draws[0].numpy(), "mean of draws": draws.mean(0).numpy()}
    plain = {"value": dorefa_gradient(g, bits, noise=False)[0].numpy()}
    x = g[0].numpy()
    return {_titled("noise=on", bits): [(x, noisy)], _titled("noise=off", bits): [(x, plain)]}


def _titled(name: str, bits: int) -> str:
    return f"{name}, {bits} bit{'s' * (bits > 1)}"


def _checked(bits: int) -> int:
    if not 2 <= bits <= 8:
        raise PlotError(f"plot: bits must be 2 to 8, not {bits}")
    return bits


def _family(name: str, bits: int, scale: str = "free") -> Quantizer:
    family = Spec.parse(f"w{bits}", weight=name, scale=scale).weight_quantizer()
    assert family is not None
    return family


def _nearest_family(name: str, bits: int) -> Quantizer:
    """The family at these bits, or at the only bits it has."""
    return _family(name, _ONLY_BITS.get(name, bits))


def _curves(quantizer: Quantizer, x: Tensor) -> list[Curve]:
    """One curve a row of x (C, points): the value, its gradient, and that of the reach where one is learned."""
    quantizer.begin(x)
    if [*quantizer.parameters()]:  # the scale no longer follows x: draw evenly
        x = torch.stack([torch.linspace(float(row[0]), float(row[-1]), len(row)) for row in x])
    x = x.clone().requires_grad_()
    integers, scale = quantizer.codes(x)
    value = integers * per_channel(scale, 2)
    lines = {"value": value.detach(), "gradient": torch.autograd.grad(value.sum(), x, retain_graph=True)[0]}
    if scale.requires_grad and not scale.dim():
        each = [torch.autograd.grad(value[0, i], scale, retain_graph=True)[0] for i in range(x.shape[1])]
        lines["gradient of the learned reach"] = torch.stack(each)[None] / quantizer.grid.hi
    at = x.detach().numpy()
    return [(at[row], {name: line[row].numpy() for name, line in lines.items()}) for row in range(len(at))]


def used_bits(count: int = 100_000, seed: int = 0) -> Used:
    """Return the entropy of each family's codes on weights of three distributions, all of one mean magnitude.

    Args:
        count: how many weights.
        seed: of the weights.

    Returns:
        distribution to family to {bits of a code: entropy in bits}; bits are 2, 3 and 4 or what the family has. LSQ's
        step is where it starts; with a step a channel the figures are the same, and left out.
    """
    generator = np.random.default_rng(seed)
    samples: dict[str, npt.NDArray[np.float64]] = {
        "Gaussian": generator.normal(size=count),
        "Laplacian": generator.laplace(size=count),
        "Student t, 3 degrees": generator.standard_t(3, count),
    }
    used: Used = {}
    for distribution, values in samples.items():
        w = torch.from_numpy(values * (_MEAN / np.abs(values).mean())).float()[None]  # (1, count)
        rows = used[distribution] = {name: {} for name in (*FAMILIES[:-1], "narrow")}
        for bits in (2, 3, 4):
            for name, row in rows.items():
                family = NarrowWeight(bits) if name == "narrow" else _nearest_family(name, bits)
                family.begin(w)
                with torch.no_grad():
                    row[family.bits] = entropy_bits(family.codes(w)[0].numpy())
    return used


def render(used: Used) -> str:
    """The entropies as text, one line a family."""
    lines = [f"{'entropy of the codes, bits':34}" + "".join(f"{distribution:>22}" for distribution in used)]
    for name, row in next(iter(used.values())).items():
        bits = " / ".join(str(width) for width in row)
        cells = [" / ".join(f"{value:.2f}" for value in rows[name].values()) for rows in used.values()]
        head = f"{name}, {bits} bit{'s' * (max(row) > 1)}"
        lines.append(f"{head:34}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)
