# SPDX-License-Identifier: Apache-2.0
"""DoReFa-Net's quantizers of weights, activations and gradients.

Each is a module and a function of the same name in snake case. n stands for 2^bits - 1 throughout.

    >>> conv = QuantConv2d(16, 16, 3, weight_quantizer=DoReFaWeight(1), input_quantizer=DoReFaActivation(2))

Source of all: Zhou et al., DoReFa-Net, arXiv 1606.06160 v3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant.base import (
    FixedScale,
    QuantError,
    Quantizer,
    checked_bits,
    refuse_empty,
    signs,
    ste_round,
    straight_through,
)

__all__ = [
    "DoReFaActivation",
    "DoReFaGradient",
    "DoReFaWeight",
    "dorefa_activation",
    "dorefa_gradient",
    "dorefa_gradient_codes",
    "dorefa_weight",
]

_TINY = 1e-12
_HUGE = 3e38  # float32 goes a little further
BOUNDS = ("clip", "cabs")


class DoReFaWeight(Quantizer):
    """Weights of k bits without a zero level.

    Forward, 1 bit:   integer = sign(w), scale = E = mean(|w|) over the layer, one scalar.
    Forward, k bits:  t = tanh(w); x = t / (2 max|t|) + 1/2; integer = 2 floor(n x + 1/2) - n; scale = float32(1/n).
    Gradient, 1 bit:  dw = d(integer * E): identity, not masked; E is a constant.
    Gradient, k bits: through tanh and the division (the max included), rounding as identity.
    Grid: odd k, {-n, -n+2, ..., n}. Value at zero: 1 bit gives +1; k bits give +1 (x = 1/2 is a tie, which goes up).
    Ties: half up. All weights zero (up to 1e-12): every integer +1, scale 1e-12 (1 bit), gradient the identity. An
    infinite weight is the largest (k bits). Quantizing twice changes nothing up to 3 bits; beyond, tanh acts again.
    Source: DoReFa-Net eq. 7 to 10.

    Args:
        bits: 1 to 8.

    Raises:
        QuantError: bits is not 1 to 8.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(checked_bits("DoReFaWeight", bits, 1, 8))
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(1.0 / ((1 << bits) - 1), dtype=torch.float32), persistent=False)

    @property
    def grid(self) -> Grid:
        """Odd k."""
        return Grid.odd(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("DoReFaWeight", x)
        if self.bits == 1:
            w = x.detach()
            scale = w.abs().mean().clamp(min=_TINY)
            return straight_through(x, signs(w), 1 / scale), scale
        n = (1 << self.bits) - 1
        t = torch.tanh(x)
        largest = t.abs().max()
        unit = t / (2 * torch.where(largest <= _TINY, torch.ones_like(largest), largest)) + 0.5
        return 2 * ste_round(n * unit) - n, self.scale


def dorefa_weight(w: Tensor, bits: int) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `DoReFaWeight`."""
    out: Tensor = DoReFaWeight(bits).to(w.device)(w)
    return out


class _BoundedCodes(torch.autograd.Function):
    """floor(h(x)/scale + 1/2) with little memory traffic: one new tensor forward, one backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, bound: str) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.bound = bound
        y = x.clamp(0.0, 1.0) if bound == "clip" else x.abs().clamp_(max=1.0)
        return y.div_(scale).add_(0.5).floor_()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, scale = ctx.saved_tensors
        if ctx.bound == "clip":
            grad = torch.ops.aten.hardtanh_backward(grads[0], x, 0.0, 1.0)
        else:
            grad = torch.ops.aten.hardtanh_backward(grads[0], x, -1.0, 1.0).mul_(x.sign())
        return grad.div_(scale), None, None


class DoReFaActivation(FixedScale):
    """Activations of k bits in [0, 1], behind a bound h.

    Forward:  integer = floor(h(x) / scale + 1/2), scale = float32(1/n), division and sum in float32.
              bound "clip": h(x) = clip(x, 0, 1). bound "cabs": h(x) = min(1, |x|).
    Gradient: d(integer * scale)/dx = h'(x): clip 1 for 0 < x < 1, else 0; cabs sign(x) for |x| < 1, else 0.
    Grid: unsigned k, {0, ..., n}. Value at zero: 0. Ties: half up. Quantizing twice changes nothing.
    Source: DoReFa-Net eq. 5, 6, 11; bounds from the authors' code (clip: AlexNet, cabs: SVHN).

    Args:
        bits: 1 to 16.
        bound: "clip" or "cabs".

    Raises:
        QuantError: bits or bound is not one of these.
    """

    def __init__(self, bits: int, bound: str = "clip") -> None:
        super().__init__(checked_bits("DoReFaActivation", bits, 1, 16), 1.0 / ((1 << bits) - 1))
        if bound not in BOUNDS:
            raise QuantError(f"DoReFaActivation: bound must be one of {', '.join(BOUNDS)}, not {bound}")
        self.bound = bound

    @property
    def grid(self) -> Grid:
        """Unsigned k."""
        return Grid.unsigned(self.bits)

    def bounded(self, x: Tensor) -> Tensor:
        """Return h(x)."""
        return torch.clamp(x, 0.0, 1.0) if self.bound == "clip" else torch.clamp(torch.abs(x), max=1.0)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize activations; see the class."""
        integers: Tensor = _BoundedCodes.apply(x, self.scale, self.bound)  # type: ignore[no-untyped-call]
        return integers, self.scale

    def extra_repr(self) -> str:
        """Name the grid and the bound."""
        return f"{self.grid}, bound={self.bound}"


def dorefa_activation(x: Tensor, bits: int, bound: str = "clip") -> Tensor:
    """Return fake-quantized activations, integers * scale; see `DoReFaActivation`."""
    out: Tensor = DoReFaActivation(bits, bound).to(x.device)(x)
    return out


class _QuantizeGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bits: int, seed: int, noise: bool) -> Tensor:
        ctx.bits, ctx.seed, ctx.noise = bits, seed, noise
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        # CUDA's own generator may be part of a recorded step; its state is the run's, see `checkpoint.generators`.
        generator = None if grads[0].is_cuda else torch.Generator(grads[0].device).manual_seed(ctx.seed)
        return dorefa_gradient(grads[0], ctx.bits, generator, ctx.noise), None, None, None


class DoReFaGradient(nn.Module):
    """Quantize the gradient that flows back through this place; forward is the identity.

    Placed on the output of a convolution. The noise of call number c is drawn from a generator seeded by (seed, c),
    so `state()` and `set_state()` are two integers and training resumes bit-identically. On CUDA it is drawn from
    torch's generator of the device instead.
    Forward, gradient, grid, zero and ties: see `dorefa_gradient`.
    Source: DoReFa-Net eq. 12 to 14.

    Args:
        bits: 1 to 16.
        seed: start of the noise; give every layer its own.
        noise: round stochastically; without it to the nearest, which is biased and there to show what noise is for.

    Raises:
        QuantError: bits is not 1 to 16.
    """

    def __init__(self, bits: int, seed: int = 0, noise: bool = True) -> None:
        super().__init__()
        self.bits = checked_bits("DoReFaGradient", bits, 1, 16)
        self.seed = seed
        self.noise = noise
        self.calls = 0

    def state(self) -> tuple[int, int]:
        """Return (seed, number of calls so far)."""
        return self.seed, self.calls

    def set_state(self, state: tuple[int, int]) -> None:
        """Continue where `state()` was taken."""
        self.seed, self.calls = state

    def forward(self, x: Tensor) -> Tensor:
        """Return x; its gradient will be quantized."""
        if not torch.is_grad_enabled() or not x.requires_grad:
            return x
        mixed = (self.seed * 0x9E3779B97F4A7C15 + self.calls * 0xBF58476D1CE4E5B9) & ((1 << 63) - 1)
        self.calls += 1
        out: Tensor = _QuantizeGradient.apply(x, self.bits, mixed, self.noise)  # type: ignore[no-untyped-call]
        return out

    def extra_repr(self) -> str:
        """Name the bits, and what is unusual."""
        return f"bits={self.bits}" + ("" if self.noise else ", noise=False")


def dorefa_gradient(g: Tensor, bits: int, generator: torch.Generator | None = None, noise: bool = True) -> Tensor:
    """Quantize gradients stochastically, one scale per sample; unbiased.

    Forward:  m = max|g| of the sample; c = clip(floor(n g/(2m) + n/2 + sigma + 1/2), 0, n) with
              sigma ~ U(-1/2, 1/2) per element; result = m (2c - n)/n. E[result] = g.
    Gradient: none (it acts on gradients).
    Grid: odd k times m/n: no zero level. Value at zero: +m/n or -m/n with equal odds. A sample whose gradient is all
    zero stays zero, one that holds NaN or infinity is NaN throughout. Ties: there are none, the noise decides (it has
    16 bits, the sum is float32: the mean is off by at most m (2^-16/n + 2^-21)).
    Source: DoReFa-Net eq. 12; the noise is stochastic rounding.

    Args:
        g: gradients (N, ...), float32.
        bits: bits of a code.
        generator: source of the noise; torch's default when None.
        noise: False sets sigma to 0: the nearest level, half up, and a bias that no number of steps averages out.

    Returns:
        Quantized gradients, shape and memory format of g.
    """
    if not g.numel():
        return g
    codes, largest = dorefa_gradient_codes(g, bits, generator, noise)
    largest = largest.view(-1, *[1] * (g.dim() - 1))
    return codes.mul_(largest * (2.0 / ((1 << bits) - 1))).sub_(largest)  # m (2c - n)/n


def dorefa_gradient_codes(
    g: Tensor, bits: int, generator: torch.Generator | None = None, noise: bool = True
) -> tuple[Tensor, Tensor]:
    """Return (c, m) of `dorefa_gradient`: the codes 0..n as floats, shape and memory format of g; the scales (N,).

    A gradient is m/n times the odd integer 2c - n. A sample that holds what is not finite has such a scale.

    Args:
        g: gradients (N, ...), float32, not empty.
        bits, generator, noise: see `dorefa_gradient`.
    """
    n = (1 << bits) - 1
    last = g.dim() == 4 and g.is_contiguous(memory_format=torch.channels_last)
    flat = (g.permute(0, 2, 3, 1) if last else g.contiguous()).reshape(g.shape[0], -1)  # (N, elements), a view
    largest = torch.linalg.vector_norm(flat, ord=float("inf"), dim=1, keepdim=True)  # (N, 1)
    sigma = _noise(flat, generator) if noise else torch.full_like(flat, -0.5)  # 65536 sigma - 1/2
    gain = (n * 32768.0) / largest.clamp(min=max(1e-30, n * 32768.0 / _HUGE))  # finite for zeros too
    codes = sigma.addcmul_(flat, gain).add_(0.5 + (n + 1) * 32768.0).mul_(1.0 / 65536).floor_().clamp_(0, n)
    if not last:
        return codes.view_as(g), largest[:, 0]
    batch, channels, height, width = g.shape
    return codes.view(batch, height, width, channels).permute(0, 3, 1, 2), largest[:, 0]


def _noise(flat: Tensor, generator: torch.Generator | None) -> Tensor:
    """Uniform integers of 16 bits with sign as floats, shape of flat: four out of every random word."""
    words = torch.empty((flat.numel() + 3) // 4, dtype=torch.int64, device=flat.device)
    words.random_(-(1 << 63), None, generator=generator)
    return words.view(torch.int16)[: flat.numel()].to(flat.dtype).view_as(flat)
