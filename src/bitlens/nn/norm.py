# SPDX-License-Identifier: Apache-2.0
"""Batch normalization whose evaluation is the reference arithmetic, operation by operation.

    inv = 1/sqrt(var + eps);  a = gamma*inv;  b = beta - mean*a;  y = x*a + b      each correctly rounded in float32

Product and sum are separate operations (no fused multiply-add), so that the compiler's thresholds meet the trained net.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.quant.base import QuantError, is_exporting

__all__ = ["BatchNorm2d"]


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with the reference arithmetic in evaluation; training is torch's own."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalized input, (N, C, H, W).

        Raises:
            QuantError: there is but one value a channel in training, or the input has another shape in evaluation.
        """
        if self.training and input.numel() == self.num_features:
            raise QuantError(
                f"BatchNorm2d: a batch must have at least 2 values a channel in training, not 1 as of {tuple(input.shape)}"
            )
        if self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        if is_exporting():
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        if input.dim() != 4 or input.shape[1] != self.num_features:
            raise QuantError(f"BatchNorm2d: input must be (N, {self.num_features}, H, W), not {tuple(input.shape)}")
        # torch's float32 sqrt may be an ulp off; rounding a float64 root is correct (53 >= 2*24 + 2 bits)
        a = (self.running_var + self.eps).double().sqrt().float().reciprocal()
        if self.weight is not None:
            a = self.weight * a
        b = self.running_mean * a
        b = -b if self.bias is None else self.bias - b
        shape = (1, -1, 1, 1)
        return input * a.view(shape) + b.view(shape)
