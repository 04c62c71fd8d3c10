# SPDX-License-Identifier: Apache-2.0
"""What is counted and proven of every net alike."""

from __future__ import annotations

import torch
from torch import nn

from bitlens.nn import QuantLayer

__all__ = ["assert_trains_a_step", "multiplications", "sides", "weights"]


def weights(net: nn.Module) -> int:
    """Weights of all layers; biases and batch norms are left out."""
    return sum(layer.weight.numel() for layer in net.modules() if isinstance(layer, QuantLayer))


def multiplications(net: nn.Module, side: int) -> int:
    """Products of one RGB image; a float net on the meta device is counted without being computed."""
    count = 0

    def add(layer: QuantLayer, _: object, y: torch.Tensor) -> None:
        nonlocal count
        count += layer.weight[0].numel() * y[0].numel()

    _run(net, [layer for layer in net.modules() if isinstance(layer, QuantLayer)], add, side)
    return count


def sides(net: nn.Module, names: list[str], side: int) -> list[int]:
    """Side of the square map behind each of these modules."""
    found: list[int] = []
    modules = [net.get_submodule(name) for name in names]
    _run(net, modules, lambda module, args, y: found.append(y.shape[3]), side)
    return found


def _run(net: nn.Module, modules: list[nn.Module], hook: object, side: int) -> None:
    handles = [module.register_forward_hook(hook) for module in modules]
    device = next(net.parameters()).device
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, side, side, device=device))
    for handle in handles:
        handle.remove()


def assert_trains_a_step(net: nn.Module, images: torch.Tensor) -> None:
    """Every parameter gets a finite gradient."""
    net(images).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
