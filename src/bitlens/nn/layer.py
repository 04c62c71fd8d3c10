# SPDX-License-Identifier: Apache-2.0
"""What QuantConv2d and QuantLinear share: quantizers, exact accumulators, frozen weights.

    y = product(integer activations, integer weights) [+ integer bias] -> float32, * (s_w * s_a) [+ float bias]

The sum is exact: below 2^24 in float32, in evaluation above that in float64. The scales are multiplied once, after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant.base import Quantizer, emit_quant, is_exporting
from bitlens.quant.uniform import AccumulatorBias

__all__ = ["EXACT_FLOAT32", "QuantLayer"]

EXACT_FLOAT32 = 1 << 24


class QuantLayer(nn.Module):
    """Mixed into a torch layer that has `weight` and `bias`; the subclass gives `_product`.

    Quantizer arguments, described here once:
        input_quantizer: of the input, its bound included; another module (such as ReLU) is applied as it is.
        weight_quantizer: of the weights.
        gradient_quantizer: put on the output, acts on the gradient that comes back.
        bias_quantizer: `AccumulatorBias`, or None for a float bias added after the scale.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def _take(
        self,
        input_quantizer: nn.Module | None,
        weight_quantizer: Quantizer | None,
        gradient_quantizer: nn.Module | None,
        bias_quantizer: AccumulatorBias | None,
    ) -> None:
        self.input_quantizer = input_quantizer
        self.weight_quantizer = weight_quantizer
        self.gradient_quantizer = gradient_quantizer
        self.bias_quantizer = bias_quantizer
        self.weight_integers: Tensor | None
        self.weight_scale: Tensor | None
        self.bias_integers: Tensor | None
        for name in ("weight_integers", "weight_scale", "bias_integers"):
            self.register_buffer(name, None)

    @property
    def frozen(self) -> bool:
        """Whether `freeze` has stored this layer's integers."""
        return self.weight_integers is not None

    @property
    def weight_grid(self) -> Grid | None:
        """The integers of the weights; None for float."""
        return None if self.weight_quantizer is None else self.weight_quantizer.grid

    @property
    def input_grid(self) -> Grid | None:
        """The integers of the input; None for float."""
        return self.input_quantizer.grid if isinstance(self.input_quantizer, Quantizer) else None

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's own sum of products."""
        raise NotImplementedError

    def _weight_codes(self) -> tuple[Tensor, Tensor | None]:
        if self.weight_quantizer is None:
            return self.weight, None
        if self.weight_integers is not None:
            return self.weight_integers.to(self.weight.dtype), self.weight_scale
        return self.weight_quantizer.codes(self.weight)

    def _accumulator_bound(self) -> int:
        taps = self.weight[0].numel()
        assert self.weight_grid is not None and self.input_grid is not None
        return taps * max(-self.weight_grid.lo, self.weight_grid.hi) * max(-self.input_grid.lo, self.input_grid.hi)

    def _sum(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.training or self.input_grid is None or self.weight_grid is None:
            return self._product(x, weight, None)
        if self._accumulator_bound() < EXACT_FLOAT32 and not x.is_cuda:
            return self._product(x, weight, None)
        return self._product(x.double(), weight.double(), None)  # CUDA too: there float32 may be TF32 or Winograd

    def _channels(self, values: Tensor, y: Tensor) -> Tensor:
        """Shape per-channel values for a sum of y's rank: (O,) -> (O, 1, 1) behind the batch axis."""
        return values.reshape(-1, *[1] * (y.dim() - 2)) if values.dim() else values

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's real output, float32."""
        if is_exporting():
            return self._export(x)
        activation_scale: Tensor | None = None
        if isinstance(self.input_quantizer, Quantizer):
            x, activation_scale = self.input_quantizer.codes(x)
        elif self.input_quantizer is not None:
            x = self.input_quantizer(x)
        weight, weight_scale = self._weight_codes()
        if activation_scale is None and weight_scale is None:
            y = self._product(x, weight, self.bias)
        else:
            y = self._scaled(self._sum(x, weight), weight_scale, activation_scale)
        return y if self.gradient_quantizer is None else self.gradient_quantizer(y)

    def _scaled(self, total: Tensor, weight_scale: Tensor | None, activation_scale: Tensor | None) -> Tensor:
        if weight_scale is None or activation_scale is None:
            scale = activation_scale if weight_scale is None else weight_scale
        else:
            scale = weight_scale * activation_scale
        assert scale is not None
        if self.bias is not None and self.bias_quantizer is not None:
            total = total + self._channels(self._bias_codes(scale), total)
        y = total.float().mul_(self._channels(scale, total))
        if self.bias is not None and self.bias_quantizer is None:
            y = y.add_(self._channels(self.bias, y))
        return y

    def _bias_codes(self, scale: Tensor) -> Tensor:
        if self.bias_integers is not None:
            return self.bias_integers.to(self.weight.dtype)
        assert self.bias is not None and self.bias_quantizer is not None
        return self.bias_quantizer.on_grid(self.bias, scale.detach())

    def _export(self, x: Tensor) -> Tensor:
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
        weight, scale = self._weight_codes()
        bias = self.bias
        if scale is not None:
            assert self.weight_quantizer is not None
            shape = (-1, *[1] * (weight.dim() - 1)) if scale.dim() else ()
            scale = scale.detach().reshape(shape)
            weight = emit_quant((weight * scale).detach(), scale, self.weight_quantizer.grid)
            if bias is not None and self.bias_quantizer is not None:
                assert isinstance(self.input_quantizer, Quantizer)
                unit = scale.reshape(()) * self.input_quantizer.scale
                bias = emit_quant((self._bias_codes(unit) * unit).detach(), unit, Grid.span(-(2**31), 2**31 - 1))
        return self._product(x, weight, bias)
