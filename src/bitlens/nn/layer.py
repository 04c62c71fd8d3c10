# SPDX-License-Identifier: Apache-2.0
"""What QuantConv2d and QuantLinear share: quantizers, exact accumulators, frozen integers.

    y = product(integer activations, integer weights) [+ integer bias] -> float32, * (s_w * s_a) [+ float bias]

The sum is exact: below 2^24 in float32, in evaluation above that in float64. The scales are multiplied once, after it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant.base import InputQuantizer, QuantError, Quantizer, emit_quant, is_exporting, per_channel
from bitlens.quant.learned import LearnedScale
from bitlens.quant.uniform import AccumulatorBias

__all__ = ["EXACT_FLOAT32", "QuantLayer"]

L = TypeVar("L", bound="QuantLayer")

EXACT_FLOAT32 = 1 << 24
_BIAS = Grid.span(-(2**31) + 1, 2**31 - 1)  # of an exported bias: narrow 32


class QuantLayer(nn.Module):
    """Mixed into a torch layer that has `weight` and `bias`; the subclass gives `_product`.

    Quantizer arguments, described here once:
        input_quantizer: of the input, its bound included; another module (such as ReLU) is applied as it is.
        weight_quantizer: of the weights.
        gradient_quantizer: put on the output, acts on the gradient that comes back.
        bias_quantizer: `AccumulatorBias`, or None for a float bias added after the scale.

    A frozen layer holds the buffers weight_integers (int32), weight_scale and bias_integers (int32).

    Attributes:
        number: of a net's middle layers, the place of its bits in a spec's `layers`; None elsewhere.
        input_middle: of the range of its inputs, where training is to take its steps relative to it; see `train.centred`.
    """

    number: int | None = None
    input_middle: float = 0.0

    weight: Tensor
    bias: Tensor | None
    weight_integers: Tensor | None
    weight_scale: Tensor | None
    bias_integers: Tensor | None

    def _take(
        self,
        input_quantizer: nn.Module | None,
        weight_quantizer: Quantizer | None,
        gradient_quantizer: nn.Module | None,
        bias_quantizer: AccumulatorBias | None,
    ) -> None:
        whole = weight_quantizer is not None and isinstance(input_quantizer, InputQuantizer)
        if bias_quantizer is not None and not whole:
            raise QuantError(f"{type(self).__name__}: bias_quantizer must have quantized weights and inputs beside it")
        self.input_quantizer = input_quantizer
        if weight_quantizer is not None:
            weight_quantizer.begin(self.weight.detach())
        self.weight_quantizer = weight_quantizer
        self.gradient_quantizer = gradient_quantizer
        self.bias_quantizer = bias_quantizer
        for name in ("weight_integers", "weight_scale", "bias_integers"):
            self.register_buffer(name, None)
        for name in ("weight_real", "bias_real", "bias_scale", "zero_point"):  # constants of an exported graph
            self.register_buffer(name, None, persistent=False)
        self.register_load_state_dict_post_hook(_derive_again)  # type: ignore[no-untyped-call]

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

    @torch.no_grad()
    def freeze(self) -> None:
        """Store the integers of weights and bias, computed on the CPU, and a learned scale of the input.

        A frozen layer whose weight is not trainable keeps its integers: published weights are nothing but integers.

        Raises:
            QuantError: weights, bias or a learned scale are not finite.
        """
        if isinstance(self.input_quantizer, LearnedScale):
            self.input_quantizer.fix()
        if self.weight_quantizer is None:
            return
        if self.frozen and not self.weight.requires_grad:
            return self._derive()
        if self.bias is not None and not self.bias.isfinite().all():
            raise QuantError(f"{type(self).__name__}: bias must be finite to be frozen, not nan or inf")
        device = self.weight.device
        integers, scale = self.weight_quantizer.cpu().codes(self.weight.cpu())
        self.weight_quantizer.to(device)
        if not (integers.isfinite().all() and scale.isfinite().all()):
            raise QuantError(f"{type(self).__name__}: weights must be finite to be frozen, not nan or inf")
        self.weight_integers = integers.to(device, torch.int32)
        self.weight_scale = scale.to(device, copy=True)
        if self.bias is not None and self.bias_quantizer is not None:
            assert isinstance(self.input_quantizer, InputQuantizer)
            bias = self.bias_quantizer.on_grid(self.bias.cpu(), scale * self.input_quantizer.scale.cpu())
            self.bias_integers = bias.to(device, torch.int32)
        self._derive()

    def train(self: L, mode: bool = True) -> L:
        """Put the layer in training or evaluation; in training it forgets integers that would not follow its weight.

        Integers whose weight is not trainable stay.
        """
        if mode and self.weight.requires_grad:
            self.weight_integers = self.weight_scale = self.bias_integers = None
        return super().train(mode)

    @torch.no_grad()
    def _derive(self) -> None:
        """Compute the constants of an exported graph from the integers."""
        assert self.weight_integers is not None
        assert self.weight_scale is not None
        self.weight_real = self.weight_integers.float() * per_channel(self.weight_scale, self.weight.dim())
        self.zero_point = torch.zeros_like(self.weight_scale.reshape(-1)[0])
        if self.bias_integers is not None:
            assert isinstance(self.input_quantizer, InputQuantizer)
            self.bias_scale = self.weight_scale * self.input_quantizer.scale
            self.bias_real = self.bias_integers.float() * self.bias_scale

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self.weight_quantizer is None or f"{prefix}weight" not in state_dict:
            return
        if not any(name.startswith(f"{prefix}weight_quantizer.") for name in state_dict):
            self.weight_quantizer.begin(self.weight.detach())  # float weights: what is learned starts from them
        if f"{prefix}weight_integers" not in state_dict:  # other weights than those that were frozen
            self.weight_integers = self.weight_scale = self.bias_integers = None

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's own sum of products."""
        raise NotImplementedError

    def _channels(self, values: Tensor) -> Tensor:
        """Shape per-channel values (O,) for the layer's sums; scalars stay."""
        raise NotImplementedError

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

    def _weight_codes(self) -> tuple[Tensor, Tensor | None]:
        if self.weight_quantizer is None:
            return self.weight, None
        if self.weight_integers is not None:
            return self.weight_integers.to(self.weight.dtype), self.weight_scale
        return self.weight_quantizer.codes(self.weight)

    def _sum(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.training or self.input_grid is None or self.weight_grid is None:
            return self._product(x, weight, None)
        taps = self.weight[0].numel()
        bound = taps * max(-self.weight_grid.lo, self.weight_grid.hi) * max(-self.input_grid.lo, self.input_grid.hi)
        if bound < EXACT_FLOAT32 and not x.is_cuda:
            return self._product(x, weight, None)
        return self._product(x.double(), weight.double(), None)  # CUDA too: there float32 may be TF32 or Winograd

    def _scaled(self, total: Tensor, weight_scale: Tensor | None, activation_scale: Tensor | None) -> Tensor:
        if weight_scale is None or activation_scale is None:
            scale = activation_scale if weight_scale is None else weight_scale
        else:
            scale = weight_scale * activation_scale
        assert scale is not None
        if self.bias is not None and self.bias_quantizer is not None:
            integers = self.bias_integers
            bias = self.bias_quantizer.on_grid(self.bias, scale) if integers is None else integers.to(total.dtype)
            total = total + self._channels(bias)
        y = total.float().mul_(self._channels(scale))
        if self.bias is not None and self.bias_quantizer is None:
            y = y.add_(self._channels(self.bias))
        return y

    def _export(self, x: Tensor) -> Tensor:
        if self.input_quantizer is not None:
            x = self.input_quantizer(x)
        if self.weight_quantizer is None:
            return self._product(x, self.weight, self.bias)
        if not self.frozen:
            raise QuantError(f"{type(self).__name__}: weights must be frozen before an export, call freeze(model)")
        assert self.weight_scale is not None
        scale = per_channel(self.weight_scale, self.weight.dim())
        weight = emit_quant(self.weight_real, scale, self.zero_point, self.weight_quantizer.grid)
        bias = self.bias
        if self.bias_integers is not None:
            bias = emit_quant(self.bias_real, self.bias_scale, self.zero_point, _BIAS)
        return self._product(x, weight, bias)


def _derive_again(layer: QuantLayer, keys: object) -> None:
    """Once a state is loaded, the layer's own quantizers included, whose learned scale the constants follow."""
    if layer.frozen:
        layer._derive()
