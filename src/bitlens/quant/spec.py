# SPDX-License-Identifier: Apache-2.0
"""One string says how a net is quantized: `w1a2g6`, with further keys after commas.

    >>> Spec.parse("w1a2g6,first=w8a8,last=w8a8,weight=dorefa,activation=clip").weight_bits
    1

32 bits mean float. `layers=w4a4/w2a2/w1a2` names the bits of every middle layer, in the order of the net. Nets ask a spec for
fresh quantizers, so a net's file never names a family.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from bitlens.quant.balanced import BalancedWeight
from bitlens.quant.base import InputQuantizer, QuantError, Quantizer
from bitlens.quant.bipolar import BipolarWeight
from bitlens.quant.dorefa import DoReFaActivation, DoReFaGradient, DoReFaWeight
from bitlens.quant.lsq import LSQActivation, LSQWeight
from bitlens.quant.mean_scaled import MaxScaledWeight, MeanScaledWeight, UniformMaxWeight
from bitlens.quant.pact import PACTActivation
from bitlens.quant.power_of_two import PowerOfTwoWeight
from bitlens.quant.ternary import TernaryWeight
from bitlens.quant.uniform import AccumulatorBias, NarrowWeight, UnsignedInput

__all__ = ["FLOAT", "FORM", "Bits", "Spec"]

FLOAT = 32
FORM = re.compile("w([0-9]{1,4})(?:a([0-9]{1,4}))?(?:g([0-9]{1,4}))?")  # of bits
_SWITCHES = {"scale": ("free", "pow2"), "noise": ("on", "off"), "join": ("shared", "float")}
_WEIGHTS: dict[str, Callable[[int], Quantizer]] = {
    "dorefa": DoReFaWeight,
    "balanced": BalancedWeight,
    "balanced_median": lambda bits: BalancedWeight(bits, split="median"),
    "balanced_max": lambda bits: BalancedWeight(bits, reach="max"),
    "mean": MeanScaledWeight,
    "max": MaxScaledWeight,
    "uniform": UniformMaxWeight,
    "ternary": TernaryWeight,
    "bipolar": BipolarWeight,
    "lsq": LSQWeight,
    "lsq_channel": lambda bits: LSQWeight(bits, channels=True),
}
_ACTIVATIONS: dict[str, Callable[[int, bool], InputQuantizer]] = {
    "clip": lambda bits, shift: DoReFaActivation(bits, "clip"),
    "cabs": lambda bits, shift: DoReFaActivation(bits, "cabs"),
    "pact": PACTActivation,
    "lsq": LSQActivation,
}
_LEARNED = ("pact", "lsq")


@dataclass(frozen=True)
class Bits:
    """Bits of weights, activations and gradients of a group of layers; 32 means float."""

    weight: int
    activation: int = FLOAT
    gradient: int = FLOAT

    @classmethod
    def parse(cls, key: str, text: str) -> Bits:
        """Read `w1a2g6`; a or g left out are float.

        Args:
            key: the name that errors speak of.
            text: the string.

        Raises:
            QuantError: the string has another form or a number is out of range.
        """
        match = FORM.fullmatch(text.strip())
        if match is None:
            raise QuantError(f'{key}: must look like w1a2g6, not "{text}"')
        weight, activation, gradient = (int(group) if group else FLOAT for group in match.groups())
        for name, value, most in (("w", weight, 8), ("a", activation, 16), ("g", gradient, 16)):
            if value != FLOAT and not 1 <= value <= most:
                raise QuantError(f"{key}: {name} must be 1 to {most} or 32, not {value}")
        return cls(weight, activation, gradient)

    def __str__(self) -> str:
        return f"w{self.weight}a{self.activation}g{self.gradient}"


@dataclass(frozen=True)
class Spec:
    """How a net is quantized.

    Args:
        middle: bits of all layers but the ends.
        first, last: bits of the ends; float where the middle is all float, else w8a8.
        weight: family of the middle's weights, as `docs/quantizers.md` lists them: "dorefa", "balanced", ...
        activation: of the middle: bounds "clip" or "cabs" of [0, 1]; learned "pact" or "lsq".
        scale: "pow2" moves the middle's scales to powers of two; activations must then be learned.
        noise: "off" rounds gradients to the nearest.
        join: "float" adds branches of residual nets as they are: to measure what the shared grid costs, not to compile.
        layers: bits of each middle layer, in the order in which the net makes them, gradients as the middle's; () for the
            middle's. Concatenated branches have the middle's bits.
    """

    middle: Bits
    first: Bits
    last: Bits
    weight: str = "dorefa"
    activation: str = "clip"
    scale: str = "free"
    noise: str = "on"
    join: str = "shared"
    layers: tuple[Bits, ...] = ()

    @classmethod
    def parse(cls, text: str, **keys: str) -> Spec:
        """Read a spec string; keys may also be given as arguments, which win.

        Raises:
            QuantError: an unknown key, one given twice, or a bad value; the sentence names it.
        """
        head, *rest = [part.strip() for part in text.split(",")]
        found: dict[str, str] = {}
        for part in rest:
            name, equals, value = part.partition("=")
            if not equals:
                raise QuantError(f'bits: every part after the first must be key=value, not "{part}"')
            if name.strip() in found:
                raise QuantError(f"bits: {name.strip()} must be given once, not twice")
            found[name.strip()] = value.strip()
        found |= keys
        choices = {"weight": (*_WEIGHTS,), "activation": (*_ACTIVATIONS,), **_SWITCHES}
        allowed = ("first", "last", *choices, "layers")
        for name in found:
            if name not in allowed:
                raise QuantError(f"bits: key must be one of {', '.join(allowed)}, not {name or 'nothing'}")
        middle = Bits.parse("bits", head)
        ends = "w32a32" if middle.weight == FLOAT and middle.activation == FLOAT else "w8a8"
        for name, names in choices.items():
            if name in found and found[name] not in names:
                raise QuantError(f"bits: {name} must be one of {', '.join(names)}, not {found[name] or 'nothing'}")
        first, last = (Bits.parse(end, found.get(end, ends)) for end in ("first", "last"))
        layers = tuple(_layer(part, middle) for part in found["layers"].split("/")) if "layers" in found else ()
        spec = cls(middle, first, last, **{name: found[name] for name in choices if name in found}, layers=layers)
        spec._check()
        return spec

    def _check(self) -> None:
        """Raise QuantError where a family cannot have these bits or this scale."""
        quantized = any(bits.activation != FLOAT for bits in (self.middle, *self.layers))
        if self.scale == "pow2" and self.activation not in _LEARNED and quantized:
            raise QuantError(
                f"bits: activation must be one of {', '.join(_LEARNED)} for scale=pow2, not {self.activation}"
            )
        try:
            for bits in (self.middle, *self.layers):
                self.weight_quantizer(bits)
        except QuantError as error:
            rule = str(error).partition(": ")[2]  # without the class's name
            raise QuantError(f"weight={self.weight}: {rule}") from error

    def __str__(self) -> str:
        """The whole string; parsing it gives this spec again. Switches are named where they are not the default."""
        switches = [
            f",{name}={getattr(self, name)}" for name, (usual, _) in _SWITCHES.items() if getattr(self, name) != usual
        ]
        ends = f"first={self.first},last={self.last}"
        if self.layers:
            switches.append(",layers=" + "/".join(f"w{bits.weight}a{bits.activation}" for bits in self.layers))
        return f"{self.middle},{ends},weight={self.weight},activation={self.activation}" + "".join(switches)

    def bits_of(self, number: int) -> Bits:
        """Return the bits of a middle layer, counted from 0.

        Raises:
            QuantError: `layers` names fewer.
        """
        if self.layers and number >= len(self.layers):
            raise QuantError(
                f"layers: must name the bits of every middle layer of the net, not of {len(self.layers)} only"
            )
        return self.layers[number] if self.layers else self.middle

    def input_quantizer(self) -> Quantizer | None:
        """A quantizer of the images, or None for float."""
        return None if self.first.activation == FLOAT else UnsignedInput(self.first.activation)

    def activation_quantizer(self, bits: int | None = None) -> nn.Module:
        """A quantizer with its bound for the input of a middle layer; ReLU for float.

        Args:
            bits: other bits than the middle's, for the input of the last layer.
        """
        bits = self.middle.activation if bits is None else bits
        return nn.ReLU() if bits == FLOAT else _ACTIVATIONS[self.activation](bits, self.scale == "pow2")

    def weight_quantizer(self, bits: Bits | None = None) -> Quantizer | None:
        """A quantizer of a middle layer's weights, or None for float.

        Args:
            bits: of this layer; the middle's when None.
        """
        bits = self.middle if bits is None else bits
        if bits.weight == FLOAT:
            return None
        family = _WEIGHTS[self.weight](bits.weight)
        return PowerOfTwoWeight(family) if self.scale == "pow2" else family

    def end_weight_quantizer(self, end: Bits) -> Quantizer | None:
        """A quantizer of the weights of the first or last layer, or None for float."""
        if end.weight == FLOAT:
            return None
        return NarrowWeight(end.weight) if end.weight > 1 else DoReFaWeight(1)

    def gradient_quantizer(self, bits: Bits, seed: int) -> DoReFaGradient | None:
        """A quantizer of the gradient at a convolution's output, or None for float."""
        return None if bits.gradient == FLOAT else DoReFaGradient(bits.gradient, seed, self.noise == "on")

    def bias_quantizer(self) -> AccumulatorBias | None:
        """A quantizer of the last layer's bias, or None when that layer is float."""
        whole = self.last.weight != FLOAT and self.last.activation != FLOAT
        return AccumulatorBias() if whole else None


def _layer(text: str, middle: Bits) -> Bits:
    """Read the bits of one layer; its gradients have the middle's."""
    bits = Bits.parse("layers", text)
    if "g" in text:
        raise QuantError(f'layers: bits must look like w4a4, gradients are those of the whole net, not "{text}"')
    return replace(bits, gradient=middle.gradient)
