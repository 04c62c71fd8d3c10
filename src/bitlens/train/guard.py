# SPDX-License-Identifier: Apache-2.0
"""The NaN guard: when a loss or a gradient is no longer finite, find the layer where it began."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bitlens.train.recipe import TrainError

__all__ = ["check_finite"]


def check_finite(net: nn.Module, loss: Tensor, forward: Callable[[], Tensor], where: str) -> None:
    """Raise when the loss or a gradient is not finite.

    Args:
        net: the net, after backward.
        loss: 0-d.
        forward: runs the same batch again, to find the layer.
        where: the place in the run, for the sentence.

    Raises:
        TrainError: names the first layer whose parameter, output or gradient is not finite.
    """
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    total = torch.stack([loss.detach(), *(g.sum() for g in grads)]).sum()
    if torch.isfinite(total):
        return
    for name, parameter in net.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TrainError(f"{name}: values must be finite, not {_worst(parameter)} ({where})")
    culprit = _first_bad_output(net, forward)
    if culprit is not None:
        raise TrainError(f"{culprit[0]}: output must be finite, not {culprit[1]} ({where})")
    if not torch.isfinite(loss):
        raise TrainError(f"loss: value must be finite, not {_worst(loss)} ({where})")
    for name, parameter in reversed([*net.named_parameters()]):  # backward order
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise TrainError(f"{name}: gradient must be finite, not {_worst(parameter.grad)} ({where})")


def _worst(values: Tensor) -> str:
    return "nan" if torch.isnan(values).any() else "inf"


def _first_bad_output(net: nn.Module, forward: Callable[[], Tensor]) -> tuple[str, str] | None:
    found: list[tuple[str, str]] = []

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and not found and not torch.isfinite(output).all():
                found.append((name, _worst(output)))

        return hook

    handles = [m.register_forward_hook(watch(n)) for n, m in net.named_modules() if n and not [*m.children()]]
    handles += [m.register_forward_hook(watch(n)) for n, m in net.named_modules() if n and [*m.children()]]
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
