# SPDX-License-Identifier: Apache-2.0
"""The operator that a quantizer becomes in an exported model: QONNX Quant as a torch custom operator.

`torch.ops.bitlens.quant` is what every quantizer calls inside `exporting()`, so that `torch.onnx.export` meets one
opaque node for each of them. `qonnx/export.py` translates that node to the QONNX operator.

    v = x / scale + zero_point;  v = min(max(v, qmin), qmax);  q = round(v);  y = (q - zero_point) * scale
"""

import torch
from torch import Tensor

__all__ = ["ROUNDING_MODES", "integer_range", "quant"]

ROUNDING_MODES = ("ROUND", "HALF_UP", "FLOOR", "CEIL")


def integer_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Return (qmin, qmax) of a QONNX Quant operator.

    Source: QONNX, operator Quant.
    """
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def _rounded(v: Tensor, mode: str) -> Tensor:
    if mode == "ROUND":
        return torch.round(v)  # ties to even
    if mode == "HALF_UP":
        return torch.sign(v) * torch.floor(torch.abs(v) + 0.5)  # ties away from zero
    if mode == "FLOOR":
        return torch.floor(v)
    if mode == "CEIL":
        return torch.ceil(v)
    raise ValueError(f"bitlens::quant: rounding_mode must be one of {', '.join(ROUNDING_MODES)}, not {mode}")


@torch.library.custom_op("bitlens::quant", mutates_args=())
def quant(
    x: Tensor, scale: Tensor, zero_point: Tensor, bits: int, signed: bool, narrow: bool, rounding_mode: str
) -> Tensor:
    """Quantize and dequantize `x` as QONNX Quant does, in float32.

    Args:
        x: real values, any shape, float32.
        scale: real value of one unit, broadcast against x.
        zero_point: broadcast against x.
        bits: bits of the integer type.
        signed: whether negative integers exist.
        narrow: leave out the smallest integer (signed) or the largest (unsigned).
        rounding_mode: one of `ROUNDING_MODES`; HALF_UP is QONNX's, ties away from zero.

    Returns:
        The quantized values, shape of x.

    Raises:
        ValueError: the rounding mode is unknown.

    Source: QONNX, operator Quant.
    """
    lo, hi = integer_range(bits, signed, narrow)
    v = torch.clamp(x / scale + zero_point, lo, hi)
    return (_rounded(v, rounding_mode) - zero_point) * scale


@quant.register_fake
def _(
    x: Tensor, scale: Tensor, zero_point: Tensor, bits: int, signed: bool, narrow: bool, rounding_mode: str
) -> Tensor:
    return torch.empty_like(x)
