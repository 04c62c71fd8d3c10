# SPDX-License-Identifier: Apache-2.0
"""Training without float: the step of a net whose forward, backward and update compute on integers alone.

    >>> free = FloatFree(net, Options.parse("masters=12"))
    >>> free.set_rate(2.0**-9)
    >>> loss, figures = free.learn(images, labels)
    >>> free.write()  # the net's float32 parameters are now the masters, exactly

`learn` turns images into bytes; everything behind that is `step`, which `Ledger` can watch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bitlens.nn import BatchNorm2d
from bitlens.nn.layer import QuantLayer
from bitlens.quant import BipolarWeight
from bitlens.train.float_free.arithmetic import rounded, shifted
from bitlens.train.float_free.functions import PARAMETER
from bitlens.train.float_free.masters import Masters
from bitlens.train.float_free.options import Options
from bitlens.train.float_free.softmax import LOSS, SCORE, Softmax
from bitlens.train.float_free.twin import TwinLayer, TwinNorm, make_twin
from bitlens.train.recipe import TrainError

__all__ = ["FloatFree"]

_PARAMETER_BITS = 16  # of slopes, intercepts and biases
_OWN = ("Convolution", "Linear", "Activation", "Gradient", "Normalize")
_CHAIN = (*_OWN, "MaxPool2DWithIndices", "View", "UnsafeView", "ReshapeAlias", "Clone", "Squeeze", "Unsqueeze")


class FloatFree:
    """The integers of a run and its step.

    Args:
        net: a chain of convolutions, each followed by batch norm, and a classifier; see `make_twin`.
        options: of the run.

    Raises:
        TrainError: a layer has no integer form.
    """

    def __init__(self, net: nn.Module, options: Options) -> None:
        self.net, self.options = net, options
        self.twin = make_twin(net, options)
        self.layers = {n: m for n, m in self.twin.named_modules() if isinstance(m, TwinLayer)}
        self.norms = {n: m for n, m in self.twin.named_modules() if isinstance(m, TwinNorm)}
        names = [*self.layers]
        if not names or len(names) != len(self.norms) + 1 or self.layers[names[-1]].convolution is not None:
            raise _no_chain()
        self.order: list[nn.Module] = []  # in which the first step has called them
        self.watches = [m.register_forward_hook(self._called) for m in (*self.layers.values(), *self.norms.values())]
        self.last_name, self.last = [*self.layers.items()][-1]
        weights = [f"{name}.weight" for name in self.layers]
        real = {name: parameter.detach() for name, parameter in net.named_parameters()}
        own = {f"{module}.{kind}" for module in (*self.layers, *self.norms) for kind in ("weight", "bias")}
        for name in real.keys() - own:
            raise TrainError(
                f"{name}: must be a weight or bias of a convolution, a batch norm or the classifier to train without "
                "float; train without --float-free"
            )
        bits = {name: options.masters if name in weights else _PARAMETER_BITS for name in real}
        fractions = {name: options.masters - 1 if name in weights else PARAMETER for name in real}
        self.masters = Masters(real, bits, fractions, options.rounding == "stochastic")
        self.bias = f"{self.last_name}.bias"
        self.softmax = Softmax(self.masters.value.device)
        self.read()

    def set_rate(self, rate: float) -> None:
        """Set the rate, to the nearest power of two.

        Raises:
            TrainError: it is too large.
        """
        self.masters.set_rate(rate)

    def learn(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Take one step.

        Args:
            inputs: images (N, C, H, W), float32 in [0, 1].
            targets: classes (N,), int64.

        Returns:
            (mean loss, figures as of `Classifying.loss`).
        """
        levels = next(iter(self.layers.values())).levels
        return self.step(torch.floor(inputs.double() * float(levels) + 0.5), targets)

    def step(self, codes: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Take one step from integers of images (N, C, H, W), carried by float64."""
        parts = self.masters.parts
        leaves = {f"{name}.weight": layer.prepare(parts[f"{name}.weight"]) for name, layer in self.layers.items()}
        for name, norm in self.norms.items():
            slope, intercept = f"{name}.weight", f"{name}.bias"
            leaves[slope], leaves[intercept] = norm.prepare(parts[slope], parts[intercept])
        sums = self.twin(codes)  # (N, classes)
        if self.watches:
            self._check_order()
            _check_chain(sums)
        with torch.no_grad():
            scores = self._scores(sums.detach())
            losses, gradient = self.softmax(scores, targets)
        found = dict(zip(leaves, torch.autograd.grad(sums, [*leaves.values()], gradient), strict=True))
        with torch.no_grad():
            if self.bias in parts:
                found[self.bias] = gradient.sum(0)
            self.masters.update(found)
            loss = losses.sum()
            mean = rounded(loss * float(1 << LOSS), float(len(targets))) * 2.0**-LOSS
            right = (scores.argmax(1) == targets).sum()
        return mean, {"loss": loss, "right": right, "seen": len(targets)}

    def _called(self, module: nn.Module, inputs: object, output: object) -> None:
        self.order.append(module)

    def _check_order(self) -> None:
        """Raise where a batch norm does not follow the convolution that `write` takes it to follow."""
        for watch in self.watches:
            watch.remove()
        self.watches = []
        chain = [m for pair in zip(self.layers.values(), self.norms.values(), strict=False) for m in pair]
        if self.order != [*chain, self.last]:
            raise _no_chain()

    def _scores(self, sums: Tensor) -> Tensor:
        """Real scores, `SCORE` bits behind the point: sums times the unit of weight and input codes, plus the bias.

        That unit, w / (hi levels) of a weight w over the largest code hi and of input codes 0..levels, is an integer of at
        most 15 bits times a power of two.
        """
        layer, parts = self.last, self.masters.parts
        quantizer, fraction = layer.weight_quantizer, self.options.masters - 1
        values = parts[f"{self.last_name}.weight"].abs()
        if isinstance(quantizer, BipolarWeight):
            largest = torch.full_like(values[0, 0], float(1 << fraction))
        elif quantizer.bits == 1:
            finer = max(0, min(15 - fraction, 30 - fraction - values.numel().bit_length()))  # of a mean, within 31 bits
            largest = rounded(values.sum() * float(1 << finer), float(values.numel()))
            fraction += finer
        else:
            largest = values.amax()
        by = quantizer.grid.hi * layer.levels
        more = by.bit_length() + 14 - fraction
        unit = rounded(largest * 2.0**more, float(by))
        shift = fraction + more - layer.drop - SCORE
        scores = sums * unit
        scores = shifted(scores, shift) if shift >= 0 else scores * float(1 << -shift)
        return scores + shifted(parts[self.bias], PARAMETER - SCORE) if self.bias in parts else scores

    @torch.no_grad()
    def read(self) -> None:
        """Take over the net's parameters and its batch norms' statistics, each rounded to its integer's unit.

        Weights beyond [-1, 1) and slopes, intercepts and biases beyond [-8, 8) saturate.
        """
        self.masters.read(dict(self.net.named_parameters()))
        for unit, batch_norm, norm in self._statistics():
            assert isinstance(batch_norm.running_mean, Tensor)
            assert isinstance(batch_norm.running_var, Tensor)
            scale = (batch_norm.running_var.double() + batch_norm.eps).sqrt()
            norm.read(batch_norm.running_mean / unit, scale / unit)

    @torch.no_grad()
    def write(self) -> None:
        """Put the masters into the net, exactly, and its batch norms' statistics in real units."""
        for name, values in self.masters.real().items():
            self.net.get_parameter(name).copy_(values)
        for unit, batch_norm, norm in self._statistics():
            mean, scale = norm.real()
            batch_norm.running_mean.copy_(mean * unit)  # type: ignore[union-attr]
            batch_norm.running_var.copy_(((scale * unit) ** 2 - batch_norm.eps).clamp(min=0))  # type: ignore[union-attr]

    def _statistics(self) -> Iterator[tuple[Tensor, BatchNorm2d, TwinNorm]]:
        """Yield of every batch norm (the real value of an accumulator's unit in front of it, the net's own, ours)."""
        for (name, layer), (norm_name, norm) in zip(self.layers.items(), self.norms.items(), strict=False):
            ours, batch_norm = self.net.get_submodule(name), self.net.get_submodule(norm_name)
            assert isinstance(ours, QuantLayer)
            assert isinstance(batch_norm, BatchNorm2d)
            yield layer.unit(ours.weight) * 2.0**layer.drop, batch_norm, norm

    def state_dict(self) -> dict[str, Any]:
        """Return what a run needs to continue."""
        norms = {name: (norm.mean, norm.scale) for name, norm in self.norms.items()}
        masters = self.masters
        return {"masters": masters.value, "momenta": masters.momentum, "magnitudes": masters.magnitude, "norms": norms}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned.

        Raises:
            LookupError, RuntimeError, ValueError: it is of another net, or of steps that had no magnitudes yet.
        """
        if "magnitudes" not in state:
            raise ValueError("its steps were of momentum alone, as they are no longer; start anew")
        self.masters.value.copy_(state["masters"])
        self.masters.momentum.copy_(state["momenta"])
        self.masters.magnitude.copy_(state["magnitudes"])
        for name, norm in self.norms.items():
            mean, scale = state["norms"][name]
            norm.mean.copy_(mean)
            norm.scale.copy_(scale)


def _check_chain(sums: Tensor) -> None:
    """Raise where something else than a max pool or another shape lies between the layers, or two ways meet."""
    node: Any = sums.grad_fn
    while node is not None:
        kind = type(node).__name__.removesuffix("0").removesuffix("Backward").lstrip("_")
        before = [other for other, _ in node.next_functions if other is not None]
        before = [other for other in before if type(other).__name__ != "AccumulateGrad"]
        if kind not in _CHAIN or len(before) > 1:
            raise TrainError(
                f"net: must have max pools and reshapes alone between its layers to train without float, not {kind}; "
                "train without --float-free"
            )
        node = before[0] if before else None


def _no_chain() -> TrainError:
    return TrainError(
        "net: must be convolutions, each with a batch norm, and a classifier, defined in the order of their calls, to "
        "train without float; train without --float-free"
    )
