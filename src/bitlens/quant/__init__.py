# SPDX-License-Identifier: Apache-2.0
"""Quantizers of weights, activations and gradients (torch)."""

from bitlens.quant.balanced import BalancedWeight, balanced_groups, balanced_weight
from bitlens.quant.base import QuantError, Quantizer, exporting, is_exporting
from bitlens.quant.dorefa import (
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    dorefa_activation,
    dorefa_gradient,
    dorefa_weight,
)
from bitlens.quant.mean_scaled import MeanScaledWeight, UniformMaxWeight, mean_scaled_weight, uniform_max_weight
from bitlens.quant.spec import Bits, Spec
from bitlens.quant.state import FixedPoint, UnitActivation, fixed_point, unit_activation
from bitlens.quant.uniform import (
    AccumulatorBias,
    JoinActivation,
    NarrowWeight,
    UnsignedInput,
    join_activation,
    narrow_weight,
    unsigned_input,
)

__all__ = [
    "AccumulatorBias",
    "BalancedWeight",
    "Bits",
    "DoReFaActivation",
    "DoReFaGradient",
    "DoReFaWeight",
    "FixedPoint",
    "JoinActivation",
    "MeanScaledWeight",
    "NarrowWeight",
    "QuantError",
    "Quantizer",
    "Spec",
    "UniformMaxWeight",
    "UnitActivation",
    "UnsignedInput",
    "balanced_groups",
    "balanced_weight",
    "dorefa_activation",
    "dorefa_gradient",
    "dorefa_weight",
    "exporting",
    "fixed_point",
    "is_exporting",
    "join_activation",
    "mean_scaled_weight",
    "narrow_weight",
    "uniform_max_weight",
    "unit_activation",
    "unsigned_input",
]
