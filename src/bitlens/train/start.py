# SPDX-License-Identifier: Apache-2.0
"""Starting a net from the float weights of another that is quantized otherwise, or not at all.

Learned parameters of quantizers (anything below a `<tensor>_quantizer`) belong to their bits: with other bits, the new
net's quantizers initialise themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from bitlens.train.recipe import TrainError

__all__ = ["start_from"]

_SHOWN = 4


def start_from(net: nn.Module, weights: Mapping[str, Tensor], source: str, same_bits: bool) -> None:
    """Load weights by name.

    Args:
        net: changed in place.
        weights: a state dict of float weights.
        source: where they come from, for the sentence.
        same_bits: whether both nets have the same spec, so that learned parameters of quantizers are taken too.

    Raises:
        TrainError: a weight is missing, has another shape, or is not of this net; the sentence names it.
    """
    own = net.state_dict()
    taken = {name: value for name, value in weights.items() if same_bits or not _of_quantizer(name)}
    missing = [name for name in own if name not in taken and not _of_quantizer(name)]
    unexpected = [name for name in taken if name not in own]
    if missing:
        raise TrainError(f"{source}: weights must hold {_listed(missing)}, not lack them")
    if unexpected:
        raise TrainError(f"{source}: weights must be those of this net, not also {_listed(unexpected)}")
    for name, value in taken.items():
        if value.shape != own[name].shape:
            raise TrainError(f"{source}: {name} must have shape {tuple(own[name].shape)}, not {tuple(value.shape)}")
    net.load_state_dict(taken)


def _of_quantizer(name: str) -> bool:
    return any(part.endswith("_quantizer") for part in name.split("."))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
