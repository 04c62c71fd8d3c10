# SPDX-License-Identifier: Apache-2.0
"""Fully connected layer on integers: torch's layer plus quantizers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant.base import Quantizer
from bitlens.quant.uniform import AccumulatorBias

__all__ = ["QuantLinear"]


class QuantLinear(QuantLayer, nn.Linear):  # type: ignore[misc]  # torch calls its bias a Tensor, None or not
    """`torch.nn.Linear` that multiplies integers and applies the scales once.

    Args:
        in_features, out_features: as in `torch.nn.Linear`.
        input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer: see `QuantLayer`.
        options: bias, as in `torch.nn.Linear`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        input_quantizer: nn.Module | None = None,
        weight_quantizer: Quantizer | None = None,
        gradient_quantizer: nn.Module | None = None,
        bias_quantizer: AccumulatorBias | None = None,
        **options: Any,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, **options)
        self._take(input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def _channels(self, values: Tensor) -> Tensor:
        return values  # the last dimension's
