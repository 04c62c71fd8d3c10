# SPDX-License-Identifier: Apache-2.0
"""Steps of layers whose inputs are not negative, as if the middle of their range were zero.

    y = W x + b = W (x - m) + b'        b' = b + W m

Same values, other steps: W and b' are learned in place of W and b. Codes in [0, 1] are all positive, so all weights of a
unit together act as one large bias; a step along the gradient of W moves that bias far, what tells one input from
another hardly. The layer keeps W and b, so checkpoints, exports and programs know nothing of it.

Source: LeCun et al., Efficient BackProp, 1998, section 4.3 (inputs of mean zero).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitlens.nn.layer import QuantLayer

__all__ = ["CentredSteps"]


class CentredSteps:
    """An optimizer's steps: `step` in place of the optimizer's own.

    Args:
        net: of its layers with an `input_middle` those whose weight and bias learn; the others step as usual.
    """

    def __init__(self, net: nn.Module) -> None:
        found = (layer for layer in net.modules() if isinstance(layer, QuantLayer) and layer.input_middle)
        self.layers = [*{id(layer.weight): layer for layer in found}.values()]  # forms of one layer share it
        self.sums: dict[QuantLayer, Tensor] = {}

    def step(self, optimizer: torch.optim.Optimizer, clip_norm: float = 0.0) -> None:
        """Step along the gradients that `backward` has left.

        Args:
            optimizer: of the net's parameters.
            clip_norm: largest norm of all its gradients together, once centred; 0 leaves them as they are.
        """
        self._begin()
        if clip_norm:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimizer.step()
        self._finish()

    def _begin(self) -> None:
        """Turn gradients of W and b into those of W and b', which pass the weights' quantizer too."""
        self.sums = {}
        for layer in self.layers:
            if layer.bias is None or layer.bias.grad is None or not layer.weight.requires_grad:
                continue
            learned = [p for p in (layer.weight, *_own(layer.weight_quantizer)) if p.requires_grad]
            with torch.enable_grad():
                sums = _sums(layer)
                gains = torch.autograd.grad(sums, learned, -layer.input_middle * layer.bias.grad, allow_unused=True)
            for parameter, gain in zip(learned, gains, strict=True):
                if gain is not None:
                    parameter.grad = gain if parameter.grad is None else parameter.grad.add_(gain)
            self.sums[layer] = sums.detach()

    @torch.no_grad()
    def _finish(self) -> None:
        """Move b as the step of W asks for: b = b' - W m."""
        for layer, before in self.sums.items():
            assert layer.bias is not None
            layer.bias.sub_(layer.input_middle * (_sums(layer) - before))


def _own(quantizer: nn.Module | None) -> list[nn.Parameter]:
    return [] if quantizer is None else [*quantizer.parameters()]


def _sums(layer: QuantLayer) -> Tensor:
    """Return what each output gains where all inputs gain 1: the sums of its real weights, (outputs,)."""
    weight, scale = layer._weight_codes()
    sums = weight.flatten(1).sum(1)
    return sums if scale is None else sums * scale
