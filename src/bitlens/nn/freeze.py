# SPDX-License-Identifier: Apache-2.0
"""Fix a trained net's integers, once and on the CPU."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant.learned import LearnedScale

__all__ = ["freeze"]

M = TypeVar("M", bound=nn.Module)


def freeze(model: M) -> M:
    """Store every quantized layer's weight (and bias) integers and learned scales, and put the model in evaluation.

    The integers are computed on the CPU whatever the model's device, so all machines agree on them. They are part of
    `state_dict()`; such a state loads into a frozen model. Freezing again computes them afresh from the float weights,
    unless those are not trainable.

    Args:
        model: any module; changed in place.

    Returns:
        The model.
    """
    for layer in model.modules():
        if isinstance(layer, QuantLayer):
            layer.freeze()
        elif isinstance(layer, LearnedScale):
            layer.fix()
    return model.eval()
