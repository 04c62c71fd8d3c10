# SPDX-License-Identifier: Apache-2.0
"""What every quantizer is: integers and a scale first, the fake-quantized float derived from them.

A quantizer is a torch module. `codes(x)` gives (integers on its grid as float values, scale); `forward(x)` is their
product. Layers compute on the integers, so what is trained and what is exported cannot disagree.

    >>> DoReFaActivation(2).codes(torch.tensor([0.4]))
    (tensor([1.]), tensor(0.3333))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant import onnx_op

__all__ = ["QuantError", "Quantizer", "emit_quant", "exporting", "is_exporting", "ste_round"]

_EXPORTING: ContextVar[bool] = ContextVar("bitlens_exporting", default=False)


class QuantError(ValueError):
    """A quantizer or a bit-width string that cannot be; the sentence names the key, the rule and the value."""


@contextmanager
def exporting() -> Iterator[None]:
    """Make every quantizer call `torch.ops.bitlens.quant` and every layer compute on reals, for `torch.onnx.export`."""
    token = _EXPORTING.set(True)
    try:
        yield
    finally:
        _EXPORTING.reset(token)


def is_exporting() -> bool:
    """Whether the code runs inside `exporting()`."""
    return _EXPORTING.get()


def checked_bits(owner: str, bits: int, least: int, most: int) -> int:
    """Return bits, or raise QuantError when it is not in least..most."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= most:
        raise QuantError(f"{owner}: bits must be {least} to {most}, not {bits}")
    return bits


def emit_quant(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """Put the QONNX Quant that has this grid and scale into an exported graph.

    Odd grids (no zero level) are written as the narrow signed type one bit wider, whose range is the same; the values
    fed to it are already on the grid. Unsigned grids round half up.
    """
    if grid.step == 2:
        signed, narrow, bits = True, True, grid.bits + 1
    elif grid.lo == 0:
        signed, narrow, bits = False, False, grid.bits
    else:
        signed, narrow = True, grid.lo == -grid.hi
        bits = (grid.hi + 1).bit_length()
    mode = "ROUND" if signed else "HALF_UP"
    zero_point = torch.zeros((), dtype=x.dtype, device=x.device)
    emitted: Tensor = onnx_op.quant(x, scale, zero_point, bits, signed, narrow, mode)
    return emitted


class _SteRound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> Tensor:
        return grads[0]


def ste_round(x: Tensor) -> Tensor:
    """Round half up; the gradient passes unchanged.

    Forward: floor(x + 1/2). Gradient: identity. Ties: up, towards +infinity.
    """
    rounded: Tensor = _SteRound.apply(x)  # type: ignore[no-untyped-call]
    return rounded


class Quantizer(nn.Module):
    """Base of all quantizers of weights, activations and biases.

    A subclass sets `bits`, gives `grid` and implements `codes`. State that is fixed by the constructor lives in
    non-persistent buffers, so that a float checkpoint loads with no missing key.

    Args:
        bits: bits of one code.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    @property
    def grid(self) -> Grid:
        """The integers that `codes` yields."""
        raise NotImplementedError

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize to integers.

        Args:
            x: real values, any shape, float32.

        Returns:
            (integers on `grid` as floats, shape of x, carrying the straight-through gradient;
            scale, the real value of one unit, 0-d, without gradient).
        """
        raise NotImplementedError

    def bounded(self, x: Tensor) -> Tensor:
        """Return x limited to the quantizer's real range, in plain torch operators (identity where it has no bound)."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return integers * scale; inside `exporting()`, the bound and one `bitlens::quant`."""
        integers, scale = self.codes(x)
        if is_exporting():
            return emit_quant(self.bounded(x), scale.detach(), self.grid)
        return integers * scale

    def extra_repr(self) -> str:
        """Name the grid."""
        return str(self.grid)
