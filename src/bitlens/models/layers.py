# SPDX-License-Identifier: Apache-2.0
"""The layers of a net, made from its spec: each with its quantizers, and gradient noise of its own.

>>> layers = Layers(Spec.parse("w2a2"))
>>> conv, bn = layers.conv(16, 32, 3, padding=1), layers.norm(32)
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any

from torch import nn

from bitlens.nn import (
    BatchNorm2d,
    QuantAdd,
    QuantConcat,
    QuantConv2d,
    QuantConvTranspose2d,
    QuantGlobalAvgPool2d,
    QuantLinear,
)
from bitlens.quant import JoinActivation, Spec
from bitlens.quant.spec import FLOAT

__all__ = ["Layers"]

_JOIN_BITS = 8
_SLOPE, _INTERCEPT = 1 / 3, 1 / 6
_TWICE = {"stride": 2, "padding": 1, "output_padding": 1}


class Layers:
    """Makes the layers of one net.

    Args:
        spec: how the net is quantized.
        eps: of its batch norms.
    """

    def __init__(self, spec: Spec, eps: float = 1e-5) -> None:
        self.spec = spec
        self.eps = eps
        self._seeds = count()
        self._middles = count()

    def first(self, inputs: int, outputs: int, kernel: int, **options: Any) -> QuantConv2d:
        """The convolution of images, without bias; options as of `QuantConv2d`."""
        quantizer = self.spec.input_quantizer()
        return QuantConv2d(inputs, outputs, kernel, bias=False, input_quantizer=quantizer, **self._first(), **options)

    def conv(self, inputs: int, outputs: int, kernel: int, **options: Any) -> QuantConv2d:
        """A convolution of the middle, without bias; options as of `QuantConv2d`."""
        number = next(self._middles)
        layer = QuantConv2d(inputs, outputs, kernel, bias=False, **self._middle(number), **options)
        layer.number = number
        return layer

    def shortcut(self, inputs: int, outputs: int, stride: int) -> QuantConv2d:
        """A 1x1 convolution of a stream with both signs: weights as the first layer's, input on a join's grid."""
        quantizer = self.join()
        return QuantConv2d(inputs, outputs, 1, stride=stride, bias=False, input_quantizer=quantizer, **self._first())

    def up(self, inputs: int, outputs: int) -> QuantConvTranspose2d:
        """Zero insertion and a 3x3 convolution of the middle, without bias: twice the height and width."""
        number = next(self._middles)
        layer = QuantConvTranspose2d(inputs, outputs, 3, **_TWICE, bias=False, **self._middle(number))
        layer.number = number
        return layer

    def last(self, inputs: int, classes: int) -> QuantLinear:
        """The classifier of a vector."""
        return QuantLinear(inputs, classes, **self._last())

    def last_conv(self, inputs: int, outputs: int) -> QuantConv2d:
        """The outputs of every cell of a map."""
        return QuantConv2d(inputs, outputs, 1, **self._last())

    def last_up(self, inputs: int, classes: int) -> QuantConvTranspose2d:
        """The classifier of every pixel of a map twice as high and wide."""
        return QuantConvTranspose2d(inputs, classes, 3, **_TWICE, **self._last())

    def norm(self, channels: int) -> BatchNorm2d:
        """A batch norm in front of an activation: at the start 0.6 % of its outputs lie above [0, 1] and 31 % below."""
        return self._starting_at(channels, _SLOPE, _INTERCEPT)

    def branch_norm(self, channels: int) -> BatchNorm2d:
        """A batch norm in front of a join: it starts with slope 1/2 and intercept 0, so that a chain of sums keeps its mean."""
        return self._starting_at(channels, 0.5, 0.0)

    def _starting_at(self, channels: int, slope: float, intercept: float) -> BatchNorm2d:
        norm = BatchNorm2d(channels, eps=self.eps)
        nn.init.constant_(norm.weight, slope)
        nn.init.constant_(norm.bias, intercept)
        return norm

    def conv_norm(self, inputs: int, outputs: int, kernel: int, **options: Any) -> nn.Sequential:
        """`conv` and behind it `norm`, named conv and bn."""
        conv = self.conv(inputs, outputs, kernel, **options)
        return nn.Sequential(OrderedDict(conv=conv, bn=self.norm(outputs)))

    def join(self) -> JoinActivation | None:
        """The quantizer of every branch of a sum, 8 bits signed; None for a float net or float joins."""
        whole = self.spec.middle.activation == FLOAT or self.spec.join == "float"
        return None if whole else JoinActivation(_JOIN_BITS)

    def add(self) -> QuantAdd:
        """A sum of branches on one signed grid."""
        return QuantAdd(input_quantizer=self.join())

    def stream_pool(self, kernel: int, stride: int, padding: int) -> nn.Sequential:
        """A max pool of a stream with both signs, on a join's grid: bytes are pooled, not sums."""
        return nn.Sequential(self.join() or nn.Identity(), nn.MaxPool2d(kernel, stride, padding))

    def concat(self) -> QuantConcat:
        """Branches that end in the middle's activation, side by side."""
        return QuantConcat(input_quantizer=self.spec.activation_quantizer())

    def average(self) -> QuantGlobalAvgPool2d:
        """The average over the map in front of `last`, of activations with the last layer's bits."""
        return QuantGlobalAvgPool2d(input_quantizer=self.spec.activation_quantizer(self.spec.last.activation))

    def _first(self) -> dict[str, Any]:
        return {
            "weight_quantizer": self.spec.end_weight_quantizer(self.spec.first),
            "gradient_quantizer": self.spec.gradient_quantizer(self.spec.first, next(self._seeds)),
        }

    def _middle(self, number: int) -> dict[str, Any]:
        bits = self.spec.bits_of(number)
        return {
            "input_quantizer": self.spec.activation_quantizer(bits.activation),
            "weight_quantizer": self.spec.weight_quantizer(bits),
            "gradient_quantizer": self.spec.gradient_quantizer(self.spec.middle, next(self._seeds)),
        }

    def _last(self) -> dict[str, Any]:
        return {
            "input_quantizer": self.spec.activation_quantizer(self.spec.last.activation),
            "weight_quantizer": self.spec.end_weight_quantizer(self.spec.last),
            "gradient_quantizer": self.spec.gradient_quantizer(self.spec.last, next(self._seeds)),
            "bias_quantizer": self.spec.bias_quantizer(),
        }
