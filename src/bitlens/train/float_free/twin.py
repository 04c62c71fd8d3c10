# SPDX-License-Identifier: Apache-2.0
"""The twin of a net: the same modules, computing on integers carried by float64.

A net's own forward runs over twin layers. Accumulators wider than 16 bits and sign are shifted to that width; a layer's
real unit does not matter behind it, because batch norm follows.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from bitlens.nn import BatchNorm2d, QuantConv2d, QuantLinear
from bitlens.nn.layer import QuantLayer
from bitlens.quant import (
    BipolarWeight,
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    NarrowWeight,
    Quantizer,
    UniformMaxWeight,
    UnsignedInput,
)
from bitlens.train.float_free.arithmetic import rounded, saturated, shifted
from bitlens.train.float_free.functions import (
    MEAN,
    activate,
    convolve,
    multiply,
    normalize,
    with_rounded_gradient,
)
from bitlens.train.float_free.options import Options
from bitlens.train.recipe import TrainError

__all__ = ["TwinLayer", "TwinNorm", "make_twin"]

_ACCUMULATOR = 16  # bits, beside the sign
_GRADIENT_BITS = 8  # where the spec leaves gradients float
_RUNNING = 8  # more bits of a running mean
_KEPT = (nn.MaxPool2d, nn.Flatten, nn.Identity)


class TwinLayer(nn.Module):
    """A convolution or the classifier.

    Args:
        layer: of the net.
        name: for the sentences.
        first: whether its input are pixels, else normalized values.

    Raises:
        TrainError: one of its quantizers has no integer form here.
    """

    def __init__(self, layer: QuantConv2d | QuantLinear, name: str, first: bool) -> None:
        super().__init__()
        self.weight_quantizer = _weight_quantizer(layer, name)
        self.levels, self.bound = _input_levels(layer, name, first)
        self.gradient_bits, self.gradient_noise = _gradient(layer)
        self.convolution = (
            (layer.stride, layer.padding, layer.dilation, layer.groups) if isinstance(layer, QuantConv2d) else None
        )
        if layer.bias is not None and self.convolution is not None:
            raise TrainError(f"{name}: a convolution must have no bias to train without float")
        if isinstance(layer, QuantConv2d) and isinstance(layer.padding, str):
            raise TrainError(f"{name}: padding must be numbers to train without float, not {layer.padding}")
        grid = self.weight_quantizer.grid
        taps = layer.weight[0].numel()
        self.drop = max(0, (taps * max(-grid.lo, grid.hi) * self.levels).bit_length() - _ACCUMULATOR)
        self.codes: Tensor | None = None

    def prepare(self, masters: Tensor) -> Tensor:
        """Compute the weights' integers of this step; the gradient arrives at what is returned."""
        self.codes = weight_codes(self.weight_quantizer, masters).requires_grad_()
        return self.codes

    def unit(self, weight: Tensor) -> Tensor:
        """Return the real value of one unit of a full accumulator, of the net's own quantizers and weight."""
        scale: Tensor = self.weight_quantizer.codes(weight)[1]
        return scale.double() / self.levels

    def forward(self, x: Tensor) -> Tensor:
        """Return accumulators, 16 bits and sign, in units of 2^drop."""
        assert self.codes is not None
        if self.bound:
            x = activate(x, self.levels, self.bound)
        if self.convolution is None:
            y = multiply(x, self.codes, self.drop)
        else:
            y = convolve(x, self.codes, self.drop, self.convolution)
        return with_rounded_gradient(y, self.gradient_bits, self.gradient_noise)


class TwinNorm(nn.Module):
    """A batch norm; its running statistics are integers too, changed by an eighth of what a batch differs.

    Args:
        norm: of the net.
        options: of the run.
    """

    def __init__(self, norm: BatchNorm2d, options: Options) -> None:
        super().__init__()
        self.kind = options.norm
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros_like(norm.weight, dtype=torch.float64))
        self.register_buffer("scale", torch.full_like(self.mean, float(1 << MEAN + _RUNNING)))
        self.leaves: tuple[Tensor, Tensor] | None = None

    def prepare(self, slope: Tensor, intercept: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of the masters of this step, where the gradients arrive."""
        self.leaves = slope.clone().requires_grad_(), intercept.clone().requires_grad_()
        return self.leaves

    def forward(self, x: Tensor) -> Tensor:
        """Return normalized values, `FRACTION` bits behind the point.

        Raises:
            TrainError: there is but one value a channel.
        """
        assert self.leaves is not None
        if x.numel() == x.shape[1]:
            raise TrainError(
                f"BatchNorm2d: a batch must have at least 2 values a channel in training, not 1 as of {tuple(x.shape)}"
            )
        y, mean, scale = normalize(x, *self.leaves, self.kind)
        with torch.no_grad():
            for running, now in ((self.mean, mean), (self.scale, scale)):
                running += shifted(now * float(1 << _RUNNING) - running, 3)
        return y

    def real(self) -> tuple[Tensor, Tensor]:
        """Return the running (mean, scale) in accumulators."""
        unit = 2.0 ** -(MEAN + _RUNNING)
        return self.mean * unit, self.scale * unit

    def read(self, mean: Tensor, scale: Tensor) -> None:
        """Take over a running mean and scale in accumulators, rounded to integers of 31 bits."""
        for running, real in ((self.mean, mean), (self.scale, scale)):
            whole = torch.floor(real.double() * 2.0 ** (MEAN + _RUNNING) + 0.5)
            running.copy_(saturated((1 << 30) - 1, whole))


def make_twin(net: nn.Module, options: Options) -> nn.Module:
    """Return the twin of a net; the net stays as it is.

    Raises:
        TrainError: a module has no integer form here; the sentence names it.
    """
    made: dict[str, nn.Module] = {}
    inside: tuple[str, ...] = ()
    for name, module in net.named_modules():
        if not name or name.startswith(inside):
            continue
        if type(module) in (QuantConv2d, QuantLinear):  # no layer made of them, such as a transposed convolution
            assert isinstance(module, QuantConv2d | QuantLinear)
            made[name] = TwinLayer(module, name, first=not made)
            inside += (f"{name}.",)
        elif isinstance(module, BatchNorm2d) and module.affine:
            made[name] = TwinNorm(module, options)
        elif isinstance(module, QuantLayer) or not (isinstance(module, _KEPT) or [*module.children()]):
            raise TrainError(
                f"{name}: must be a convolution, a batch norm, a max pool or the classifier to train without float, "
                f"not {type(module).__name__}; train without --float-free"
            )
    twin = copy.deepcopy(net)
    for name, module in made.items():
        twin.set_submodule(name, module)
    return twin


@torch.no_grad()
def weight_codes(quantizer: Quantizer, masters: Tensor) -> Tensor:
    """Return the integers of a layer's weights, those that the quantizer itself finds up to its float32 ties."""
    if isinstance(quantizer, NarrowWeight):
        largest = masters.abs().amax().clamp(min=1)
        return rounded(masters * float(quantizer.grid.hi), largest)
    if quantizer.bits == 1:
        return 2 * (masters >= 0).double() - 1
    largest = masters.abs().amax().clamp(min=1)  # uniform: 2 floor(n (w/(2 max) + 1/2) + 1/2) - n
    n = float((1 << quantizer.bits) - 1)
    return 2 * rounded(n * (masters + largest), 2 * largest) - n


def _weight_quantizer(layer: QuantLayer, name: str) -> Quantizer:
    found = layer.weight_quantizer
    binary = isinstance(found, DoReFaWeight | BipolarWeight) and found.bits == 1
    if found is not None and (binary or isinstance(found, NarrowWeight | UniformMaxWeight)):
        return found
    told = "float" if found is None else f"{type(found).__name__} of {found.bits} bits"
    raise TrainError(
        f"{name}: weights must be of 1 bit (weight=dorefa or bipolar), uniform (weight=uniform), or 2 to 8 bits at the ends "
        f"to train without float, not {told}"
    )


def _input_levels(layer: QuantLayer, name: str, first: bool) -> tuple[int, str]:
    found = layer.input_quantizer
    if first and isinstance(found, UnsignedInput) and found.bits <= 8:
        return found.grid.hi, ""
    if not first and isinstance(found, DoReFaActivation) and found.bits <= 8:
        return found.grid.hi, found.bound
    told = "float" if not isinstance(found, Quantizer) else f"{type(found).__name__} of {found.bits} bits"
    wanted = "pixels (UnsignedInput)" if first else "clip or cabs"
    raise TrainError(f"{name}: input must be {wanted} of 1 to 8 bits to train without float, not {told}")


def _gradient(layer: QuantLayer) -> tuple[int, bool]:
    found: Any = layer.gradient_quantizer
    return (found.bits, found.noise) if isinstance(found, DoReFaGradient) else (_GRADIENT_BITS, True)
