# SPDX-License-Identifier: Apache-2.0
"""Transposed convolution on integers, as zero insertion and a convolution, so that hardware needs no other product.

y = conv2d(zero_insertion(x), weight)      inserted zeros are exact: they are the integer 0
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.nn.conv import QuantConv2d
from bitlens.quant.base import is_exporting

__all__ = ["QuantConvTranspose2d", "convolution_weight", "zero_insertion"]


def zero_insertion(x: Tensor, stride: int, tail: int = 0) -> Tensor:
    """Put stride - 1 zeros between neighbours, and `tail` behind the last; one ONNX operator when exported.

    Args:
        x: (N, C, H, W).
        stride: at least 1.
        tail: 0 to stride - 1.

    Returns:
        (N, C, (H - 1) * stride + 1 + tail, (W - 1) * stride + 1 + tail).
    """
    ones = torch.ones(x.shape[1], 1, 1, 1, dtype=x.dtype, device=x.device)
    return F.conv_transpose2d(x, ones, stride=stride, output_padding=tail, groups=x.shape[1])


def convolution_weight(weight: Tensor, groups: int = 1) -> Tensor:
    """Return the weights of the convolution behind the zero insertion, or the way back: its own inverse.

    Args:
        weight: of `torch.nn.ConvTranspose2d`, (I, O/groups, kh, kw).
        groups: of the layer.

    Returns:
        (O, I/groups, kh, kw), flipped along height and width.
    """
    grouped = weight.reshape(groups, -1, *weight.shape[1:])  # (g, I/g, O/g, kh, kw)
    return grouped.transpose(1, 2).flatten(0, 1).flip(2, 3)


class QuantConvTranspose2d(QuantConv2d):
    """`torch.nn.ConvTranspose2d` on integers, with the weights of a convolution.

    `weight` is (O, I/groups, kh, kw), so that a scale per channel is one per output; `convolution_weight` turns a weight of
    torch's layer into it. Products skip the zeros in torch; an exported graph holds the zero insertion and a Conv.

    Args:
        in_channels, out_channels, kernel_size: as in `torch.nn.ConvTranspose2d`, the kernel square.
        stride, padding, output_padding: as there, one number for both axes.
        options: dilation (one number), groups, bias; quantizers as of `QuantConv2d`.

    Raises:
        ValueError: kernel_size, stride or dilation is no positive integer, padding is larger than
            dilation * (kernel_size - 1), or output_padding is not below stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        output_padding: int = 0,
        dilation: int = 1,
        **options: Any,
    ) -> None:
        for name, number in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(f"QuantConvTranspose2d: {name} must be an integer of at least 1, not {number}")
        reach = dilation * (kernel_size - 1)
        if not 0 <= padding <= reach:
            raise ValueError(f"QuantConvTranspose2d: padding must be 0 to {reach}, not {padding}")
        if not 0 <= output_padding < stride:
            raise ValueError(f"QuantConvTranspose2d: output_padding must be 0 to {stride - 1}, not {output_padding}")
        super().__init__(in_channels, out_channels, kernel_size, padding=reach - padding, dilation=dilation, **options)
        self.insertion = stride
        self.trim = padding
        self.tail = output_padding

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if is_exporting():
            return super()._product(zero_insertion(x, self.insertion, self.tail), weight, bias)
        return F.conv_transpose2d(
            x,
            convolution_weight(weight, self.groups),
            bias,
            self.insertion,
            self.trim,
            self.tail,
            self.groups,
            self.dilation,
        )

    def extra_repr(self) -> str:
        """Name the convolution and what is inserted."""
        convolution: str = nn.Conv2d.extra_repr(self)  # type: ignore[no-untyped-call]
        return f"{convolution}, insertion={self.insertion}, tail={self.tail}"
