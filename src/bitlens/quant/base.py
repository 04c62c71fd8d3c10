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
from typing import Any

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant import onnx_op

__all__ = [
    "FixedScale",
    "InputQuantizer",
    "QuantError",
    "Quantizer",
    "checked_bits",
    "emit_quant",
    "exporting",
    "is_exporting",
    "per_channel",
    "refuse_empty",
    "signs",
    "ste_floor",
    "ste_round",
    "straight_through",
]

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
        raise QuantError(f"{owner}: bits must be {least} to {most}, not {bits!r}")
    return bits


def refuse_empty(owner: str, weight: Tensor) -> None:
    """Raise QuantError where a scale would have to be found among no weights."""
    if not weight.numel():
        raise QuantError(f"{owner}: weights must hold values, not none")


def signs(w: Tensor) -> Tensor:
    """Return +1 where w >= 0, -1 below, NaN for NaN, shape of w."""
    one = torch.ones((), dtype=w.dtype, device=w.device)
    return torch.where(w.isnan(), w, torch.where(w >= 0, one, -one))


def emit_quant(x: Tensor, scale: Tensor, zero_point: Tensor, grid: Grid, rounding_mode: str = "HALF_UP") -> Tensor:
    """Put the QONNX Quant that has this grid and scale into an exported graph.

    Odd grids (no zero level) are written as the narrow signed type one bit wider, whose range is the same; the values
    fed to it are already on the grid. QONNX's HALF_UP is ours on non-negative values and on on-grid constants; it
    differs at negative ties, so signed activations add half a unit themselves and ask for FLOOR.

    Args:
        x: real values; on-grid constants for weights and biases.
        scale: real value of one unit, 0-d or shaped to broadcast against x.
        zero_point: zeros, 0-d.
        grid: odd, narrow, signed or unsigned.
        rounding_mode: of the operator.
    """
    if grid.step == 2:
        signed, narrow, bits = True, True, grid.bits + 1
    elif grid.lo == 0:
        signed, narrow, bits = False, False, grid.bits
    else:
        signed, narrow = True, grid.lo == -grid.hi
        bits = (grid.hi + 1).bit_length()
    emitted: Tensor = onnx_op.quant(x, scale, zero_point, bits, signed, narrow, rounding_mode)
    return emitted


class _SteFloor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def ste_round(x: Tensor) -> Tensor:
    """Round half up; the gradient passes unchanged.

    Forward: floor(x + 1/2). Gradient: identity. Ties: up, towards +infinity.
    """
    return ste_floor(x + 0.5)


def ste_floor(x: Tensor) -> Tensor:
    """Round down; the gradient passes unchanged.

    Forward: floor(x). Gradient: identity.
    """
    floored: Tensor = _SteFloor.apply(x)  # type: ignore[no-untyped-call]
    return floored


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, integers: Tensor, gain: Tensor) -> Tensor:
        ctx.save_for_backward(gain)
        return integers

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gain,) = ctx.saved_tensors
        return grads[0] * gain, None, None


def straight_through(x: Tensor, integers: Tensor, gain: Tensor) -> Tensor:
    """Return `integers` with the gradient d integers/dx = gain.

    With gain = 1/scale the gradient of integers * scale is the identity.

    Args:
        x: where the gradient goes.
        integers: shape of x, computed from x without gradient.
        gain: 0-d or shape of x.
    """
    out: Tensor = _StraightThrough.apply(x, integers, gain)  # type: ignore[no-untyped-call]
    return out


def per_channel(scale: Tensor, dims: int) -> Tensor:
    """Shape a scale for weights (O, ...) of so many dimensions: (O,) -> (O, 1, ...); 0-d stays."""
    return scale.reshape(-1, *[1] * (dims - 1)) if scale.dim() else scale


class Quantizer(nn.Module):
    """Base of all quantizers of weights, activations and biases.

    A subclass sets `bits`, gives `grid` and implements `codes`. State that is fixed by the constructor lives in
    non-persistent buffers, so that a float checkpoint loads with no missing key.

    What is not finite stays visible. NaN: its integer is NaN, and where the scale comes from the tensor, scale or all
    integers are too. Infinity: an end of the grid where a bound or a learned scale stops it, otherwise a scale that is
    not finite. Weights must hold values (else QuantError); of no activations the integers are none.

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

    def begin(self, weight: Tensor) -> None:
        """Shape and start what the quantizer learns; a layer calls it with its weights (O, ...), fresh or just loaded."""

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize to integers.

        Args:
            x: real values, any shape, float32.

        Returns:
            (integers on `grid` as floats, shape of x, carrying the straight-through gradient;
            scale, the real value of one unit, 0-d or (O,) for weights; with a gradient where it is learned).
        """
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if any(name.startswith(prefix) for name in state_dict):  # a float checkpoint holds nothing of a quantizer
            super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Return integers * scale."""
        integers, scale = self.codes(x)
        return integers * per_channel(scale, x.dim())

    def extra_repr(self) -> str:
        """Name the grid."""
        return str(self.grid)


class InputQuantizer(Quantizer):
    """A quantizer of what enters a layer: its scale is one number, known before the tensor is seen.

    A subclass gives `scale`, float32, 0-d.
    """

    scale: Tensor
    zero_point: Tensor
    rounding_mode = "HALF_UP"

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.register_buffer("zero_point", torch.zeros(()), persistent=False)

    def bounded(self, x: Tensor) -> Tensor:
        """Return what stands before the exported operator, in plain torch operators (here: x)."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Return integers * scale; inside `exporting()`, the bound and one `bitlens::quant`."""
        if is_exporting():
            return emit_quant(self.bounded(x), self.scale, self.zero_point, self.grid, self.rounding_mode)
        return super().forward(x)


class FixedScale(InputQuantizer):
    """An input quantizer whose scale is known from its constructor.

    Args:
        bits: bits of one code.
        scale: real value of one unit; rounded to float32.
    """

    def __init__(self, bits: int, scale: float) -> None:
        super().__init__(bits)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32), persistent=False)
