# SPDX-License-Identifier: Apache-2.0
"""Quantizers of weights, activations and gradients (torch)."""

from bitlens.quant.balanced import BalancedWeight, balanced_groups, balanced_weight
from bitlens.quant.base import QuantError, Quantizer, exporting, is_exporting
from bitlens.quant.bipolar import BipolarWeight, bipolar_weight
from bitlens.quant.dorefa import (
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    dorefa_activation,
    dorefa_gradient,
    dorefa_gradient_codes,
    dorefa_weight,
)
from bitlens.quant.lsq import LSQActivation, LSQWeight
from bitlens.quant.mean_scaled import (
    MaxScaledWeight,
    MeanScaledWeight,
    UniformMaxWeight,
    max_scaled_weight,
    mean_scaled_weight,
    uniform_max_weight,
)
from bitlens.quant.pact import PACTActivation, pact_activation
from bitlens.quant.power_of_two import PowerOfTwoWeight, power_of_two
from bitlens.quant.spec import Bits, Spec
from bitlens.quant.state import FixedPoint, UnitActivation, fixed_point, unit_activation
from bitlens.quant.ternary import TernaryWeight, ternary_weight
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
    "BipolarWeight",
    "Bits",
    "DoReFaActivation",
    "DoReFaGradient",
    "DoReFaWeight",
    "FixedPoint",
    "JoinActivation",
    "LSQActivation",
    "LSQWeight",
    "MaxScaledWeight",
    "MeanScaledWeight",
    "NarrowWeight",
    "PACTActivation",
    "PowerOfTwoWeight",
    "QuantError",
    "Quantizer",
    "Spec",
    "TernaryWeight",
    "UniformMaxWeight",
    "UnitActivation",
    "UnsignedInput",
    "balanced_groups",
    "balanced_weight",
    "bipolar_weight",
    "dorefa_activation",
    "dorefa_gradient",
    "dorefa_gradient_codes",
    "dorefa_weight",
    "exporting",
    "fixed_point",
    "is_exporting",
    "join_activation",
    "max_scaled_weight",
    "mean_scaled_weight",
    "narrow_weight",
    "pact_activation",
    "power_of_two",
    "ternary_weight",
    "uniform_max_weight",
    "unit_activation",
    "unsigned_input",
]
