# SPDX-License-Identifier: Apache-2.0
"""Fix a trained net's integers, once and on the CPU."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant.base import Quantizer

__all__ = ["freeze"]

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def freeze(model: M) -> M:
    """Store every quantized layer's weight (and bias) integers in the layer, and put the model in evaluation.

    The integers are computed on the CPU whatever the model's device, so all machines agree on them. Freezing again
    computes them afresh from the float weights.

    Args:
        model: any module; changed in place.

    Returns:
        The model.
    """
    for layer in model.modules():
        if not isinstance(layer, QuantLayer) or layer.weight_quantizer is None:
            continue
        device = layer.weight.device
        integers, scale = layer.weight_quantizer.cpu().codes(layer.weight.cpu())
        layer.weight_quantizer.to(device)
        layer.weight_integers = integers.to(torch.int32).to(device)
        layer.weight_scale = scale.clone().to(device)
        if layer.bias is not None and layer.bias_quantizer is not None:
            assert isinstance(layer.input_quantizer, Quantizer)
            unit = scale * layer.input_quantizer.scale.cpu()
            layer.bias_integers = layer.bias_quantizer.on_grid(layer.bias.cpu(), unit).to(torch.int32).to(device)
    return model.eval()
