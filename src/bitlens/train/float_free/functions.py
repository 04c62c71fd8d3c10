# SPDX-License-Identifier: Apache-2.0
"""The differentiable integer operations: products, batch norm, bounded activations, rounding of gradients.

All tensors are integers carried by float64. A gradient is integers in a unit that no layer needs to know: every layer
scales what comes by a power of two (`narrow`), and the optimizer's steps do not depend on a layer's unit.

Sources: L1 batch norm, arXiv 1802.09769 and 1803.01814; range batch norm, arXiv 1805.11046 (constant as in the authors'
code); gradients of few bits with one scale a sample, arXiv 1606.06160 eq. 12.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bitlens.train.float_free.arithmetic import (
    draw,
    narrow,
    power_above,
    quotient,
    rounded,
    saturated,
    shifted,
    spatial_mean,
)

__all__ = [
    "FRACTION",
    "MEAN",
    "PARAMETER",
    "activate",
    "convolve",
    "multiply",
    "normalize",
    "range_constant",
    "round_gradient",
    "statistics",
    "with_rounded_gradient",
]

FRACTION = 10  # bits of a normalized value behind the point
PARAMETER = 12  # of slope and intercept
MEAN = 4  # of a mean of accumulators
_GRADIENT = 15  # bits and sign of a gradient between layers
_NOISE = 12
_CHUNKS = 16  # of range batch norm
_GAIN = 10  # bits of a slope over a scale


class _Convolution(torch.autograd.Function):
    """Sums of products of integers, forward and for both gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, drop: int, options: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options = options
        stride, padding, dilation, groups = options
        return shifted(F.conv2d(x, weight, None, stride, padding, dilation, groups), drop)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        masks = [ctx.needs_input_grad[0], True, False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grads[0], x, weight, None, stride, padding, dilation, False, [0, 0], groups, masks
        )
        return of_x, of_weight, None, None


class _Linear(torch.autograd.Function):
    """The same of a matrix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, drop: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        return shifted(x @ weight.t(), drop)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        return grads[0] @ weight, grads[0].t() @ x, None


class _Activation(torch.autograd.Function):
    """clip(floor(n y + 1/2), 0, n) of y with `FRACTION` bits behind the point; the gradient passes where 0 < y < 1."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, levels: int, bound: str) -> Tensor:
        ctx.save_for_backward(y)
        ctx.bound = bound
        whole = y.abs() if bound == "cabs" else y
        return shifted(whole * float(levels), FRACTION).clamp(0, levels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        inside = (y.abs() < 1 << FRACTION) if ctx.bound == "cabs" else (y > 0) & (y < 1 << FRACTION)
        passed = grads[0] * inside
        return (passed * y.sign() if ctx.bound == "cabs" else passed), None, None


class _Gradient(torch.autograd.Function):
    """Identity forward; backward rounds stochastically to odd codes of a few bits, one integer unit a sample.

    unit = ceil(max|g| of the sample / n), n = 2^bits - 1;  c = floor((g + n unit) / (2 unit) + noise);  g = unit (2c - n).
    The noise is one of the 2^12 odd multiples of 2^-13: of its multiples of 2^-12 the mean would lie below one half.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int, noise: bool) -> Tensor:
        ctx.bits, ctx.noise = bits, noise
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return round_gradient(narrow(grads[0], _GRADIENT), ctx.bits, ctx.noise), None, None


def round_gradient(g: Tensor, bits: int, noise: bool) -> Tensor:
    """Return gradients (N, ...) of `bits` bits in integer units of their sample; a sample of zeros stays."""
    n = float((1 << bits) - 1)
    rows = tuple(range(1, g.dim()))
    largest = g.abs().amax(rows, keepdim=True)
    unit = quotient(largest + (n - 1), n)
    safe = unit.clamp(min=1)
    sigma = 2 * draw(g, 1 << _NOISE) + 1 if noise else torch.full_like(g, float(1 << _NOISE))
    whole = (g + n * safe) * float(1 << _NOISE) + safe * sigma
    codes = quotient(whole, 2 * safe * float(1 << _NOISE)).clamp(0, n)
    return unit * (2 * codes - n)


def statistics(x: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return (mean (C,), scale (C,), deviations (N, C, H, W)) of accumulators, `MEAN` bits behind the point.

    scale: an estimate of the standard deviation; "l1": 5/4 mean|x - mean| (sqrt(pi/2) = 1.2533); "range": the mean over
    16 chunks of max - min, times 0.540 / sqrt(2 ln n), n values a chunk.
    """
    mean = spatial_mean(x, MEAN)
    deviations = x * float(1 << MEAN) - mean.view(1, -1, 1, 1)
    if kind == "l1":
        scale = shifted(5 * spatial_mean(deviations.abs(), 0), 2)
    else:
        channels = deviations.transpose(0, 1).reshape(x.shape[1], -1)  # (C, values)
        chunks = min(_CHUNKS, max(1, channels.shape[1] // 2))
        size = channels.shape[1] // chunks
        chunked = channels[:, : chunks * size].reshape(-1, chunks, size)
        reach = rounded((chunked.amax(2) - chunked.amin(2)).sum(1), float(chunks))  # (C,)
        scale = shifted(reach * float(round(range_constant(size) * 1024)), 10)
    return mean, scale.clamp(min=float(1 << MEAN)), deviations


def range_constant(size: int) -> float:
    """Return what the range of so many normal values is multiplied by to estimate their standard deviation."""
    return 0.5 * 0.35 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(max(size, 2)))


class _Normalize(torch.autograd.Function):
    """Batch norm: y = slope (x - mean) / scale + intercept, with `FRACTION` bits behind the point.

    A channel is shifted by the power of two above its scale and multiplied by one 14-bit reciprocal.
    Backward, with h = (x - mean)/scale, as of the L1 norm:
    dx = slope/scale (g - mean g - 5/4 mean(g h) (sign h - mean sign h)), or, of the range, g - mean g - h mean(g h).
    Gradients of slope and intercept: mean(g h), mean(g).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor, intercept: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
        mean, scale, deviations = statistics(x, kind)
        power = power_above(scale)  # (C,)
        mantissa = rounded(scale * float(1 << 12), power)  # 2^11..2^12
        inverse = rounded(torch.full_like(mantissa, float(1 << 24)), mantissa)  # 2^12..2^13
        near = saturated((1 << 14) - 1, rounded(deviations * float(1 << FRACTION), power.view(1, -1, 1, 1)))
        hat = shifted(near * inverse.view(1, -1, 1, 1), 12)  # FRACTION bits behind the point
        whole = hat * slope.view(1, -1, 1, 1) + (intercept * float(1 << FRACTION)).view(1, -1, 1, 1)
        ctx.save_for_backward(hat, power, inverse, slope)
        ctx.kind = kind
        ctx.mark_non_differentiable(mean, scale)
        return shifted(whole, PARAMETER), mean, scale

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        hat, power, inverse, slope = ctx.saved_tensors
        g = narrow(grads[0], _GRADIENT)
        coarse = shifted(hat, FRACTION - 4)  # 4 bits behind the point
        mean = spatial_mean(g, 4)  # (C,), 4 bits
        dot = spatial_mean(g * coarse, 0)  # (C,), 4 bits
        if ctx.kind == "l1":
            signs = hat.sign()
            centred = signs * 16 - spatial_mean(signs, 4).view(1, -1, 1, 1)  # 4 bits
            pulled = shifted(shifted(5 * dot, 2).view(1, -1, 1, 1) * centred, 4)
        else:
            pulled = shifted(dot.view(1, -1, 1, 1) * coarse, 4)
        bracket = g * 16 - mean.view(1, -1, 1, 1) - pulled
        # Slope over scale is a mantissa of 10 bits times a power of two, so that no product leaves 32 bits.
        gain = shifted(slope * inverse, 14)
        excess = (power_above(gain.abs().clamp(min=1)) * 2.0**-_GAIN).clamp(min=1)
        divisor = power / excess
        divisor = (divisor / divisor.amin()).clamp(max=float(1 << 30)).view(1, -1, 1, 1)
        product = saturated((1 << 20) - 1, bracket) * torch.floor(gain / excess + 0.5).view(1, -1, 1, 1)
        return torch.floor(product / divisor + 0.5), dot, mean, None


def convolve(x: Tensor, weight: Tensor, drop: int, options: tuple[Any, ...]) -> Tensor:
    """Return sums of products (N, O, H, W), shifted right by `drop` bits; the gradients are whole sums of products.

    Args:
        x: integers (N, C, H, W).
        weight: integers (O, C / groups, h, w).
        drop: bits.
        options: stride, padding, dilation, groups.
    """
    out: Tensor = _Convolution.apply(x, weight, drop, options)  # type: ignore[no-untyped-call]
    return out


def multiply(x: Tensor, weight: Tensor, drop: int) -> Tensor:
    """Return sums of products (N, O) of integers (N, C) and (O, C), shifted right by `drop` bits."""
    out: Tensor = _Linear.apply(x, weight, drop)  # type: ignore[no-untyped-call]
    return out


def activate(y: Tensor, levels: int, bound: str) -> Tensor:
    """Return codes 0..levels of y with `FRACTION` bits behind the point, bounded by "clip" or "cabs"."""
    out: Tensor = _Activation.apply(y, levels, bound)  # type: ignore[no-untyped-call]
    return out


def with_rounded_gradient(x: Tensor, bits: int, noise: bool) -> Tensor:
    """Return x; its gradient will be rounded by `round_gradient`."""
    out: Tensor = _Gradient.apply(x, bits, noise)  # type: ignore[no-untyped-call]
    return out


def normalize(x: Tensor, slope: Tensor, intercept: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return (y with `FRACTION` bits behind the point, mean (C,), scale (C,)) of accumulators; see `statistics`.

    Args:
        x: integers (N, C, H, W).
        slope, intercept: integers (C,), `PARAMETER` bits behind the point.
        kind: "l1" or "range".
    """
    y, mean, scale = _Normalize.apply(x, slope, intercept, kind)  # type: ignore[no-untyped-call]
    return y, mean, scale
