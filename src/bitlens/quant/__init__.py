# SPDX-License-Identifier: Apache-2.0
"""Quantizers of weights, activations and gradients (torch)."""

from bitlens.quant.base import QuantError, Quantizer, exporting, is_exporting
from bitlens.quant.dorefa import (
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    dorefa_activation,
    dorefa_gradient,
    dorefa_weight,
)
from bitlens.quant.spec import Bits, Spec
from bitlens.quant.uniform import (
    AccumulatorBias,
    JoinActivation,
    NarrowWeight,
    UnsignedInput,
    narrow_weight,
    unsigned_input,
)

__all__ = [
    "AccumulatorBias",
    "Bits",
    "DoReFaActivation",
    "DoReFaGradient",
    "DoReFaWeight",
    "JoinActivation",
    "NarrowWeight",
    "QuantError",
    "Quantizer",
    "Spec",
    "UnsignedInput",
    "dorefa_activation",
    "dorefa_gradient",
    "dorefa_weight",
    "exporting",
    "is_exporting",
    "narrow_weight",
    "unsigned_input",
]
