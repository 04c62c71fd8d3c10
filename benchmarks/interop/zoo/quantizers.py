# SPDX-License-Identifier: Apache-2.0
"""Brevitas' weight and activation quantizers, each in one small net."""

from __future__ import annotations

from functools import partial

import brevitas.nn as qnn
from brevitas.quant import binary, fixed_point, scaled_int, shifted_scaled_int, ternary
from torch import nn

from zoo.model import Model

__all__ = ["QUANTIZERS"]

MODULES = (scaled_int, fixed_point, shifted_scaled_int, binary, ternary)
WEIGHTS = [
    "Int8WeightPerTensorFloat",
    "Int8WeightPerChannelFloat",
    "Int8WeightPerTensorFixedPoint",
    "Int8WeightPerChannelFixedPoint",
    "Int4WeightPerTensorFloatDecoupled",
    "Int8WeightPerChannelFloatDecoupled",
    "Int4WeightPerTensorFixedPointDecoupled",
    "Int8WeightNormL2PerChannelFixedPoint",
    "SignedBinaryWeightPerTensorConst",
    "SignedTernaryWeightPerTensorConst",
    "Int8AccumulatorAwareWeightQuant",
    "Int8AccumulatorAwareZeroCenterWeightQuant",
    "ShiftedUint8WeightPerTensorFloat",
    "ShiftedUint8WeightPerChannelFloat",
    "Int8WeightPerTensorFloatMSE",
    "Int8WeightPerChannelFloatHQO",
    "Int8WeightPerChannelFixedPointMSE",
    "ShiftedUint8WeightPerChannelFloatHQO",
]
ACTIVATIONS = [
    "Int8ActPerTensorFloat",
    "Uint8ActPerTensorFloat",
    "Int8ActPerTensorFixedPoint",
    "Uint8ActPerTensorFixedPoint",
    "SignedBinaryActPerTensorConst",
    "SignedTernaryActPerTensorConst",
    "ShiftedUint8ActPerTensorFloat",
    "ShiftedUint8ActPerTensorFixedPoint",
    "Int8ActPerTensorFloatMSE",
    "Uint8ActPerTensorFloatBatchQuant2d",
]
IMAGE = (3, 8, 8)


def _named(name: str) -> type:
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


def _net(weight: str, act: str) -> nn.Module:
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=_named("Uint8ActPerTensorFloat"), bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(3, 8, 3, bias=True, weight_quant=_named(weight)),
        nn.BatchNorm2d(8),
        qnn.QuantIdentity(act_quant=_named(act), return_quant_tensor=True),
        qnn.QuantConv2d(8, 8, 3, bias=False, weight_quant=_named(weight)),
        nn.BatchNorm2d(8),
        qnn.QuantReLU(bit_width=4, return_quant_tensor=True),
        nn.Flatten(),
        qnn.QuantLinear(8 * 16, 10, bias=True, weight_quant=_named(weight)),
    )


QUANTIZERS: list[Model] = [
    *(
        Model(f"weight_{each}", f"weights: {each}", partial(_net, each, "Uint8ActPerTensorFloat"), IMAGE)
        for each in WEIGHTS
    ),
    *(
        Model(f"act_{each}", f"activations: {each}", partial(_net, "Int8WeightPerTensorFloat", each), IMAGE)
        for each in ACTIVATIONS
    ),
]
