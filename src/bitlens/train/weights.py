# SPDX-License-Identifier: Apache-2.0
"""A trained net small enough to publish: the integers it computes with, no float copies of them.

`weights.npz` holds int8 codes of quantized weights and embeddings, scales, integer biases, and what is float in the net
(batch norm, biases). The net it gives back is frozen: it computes what the trained one does, number for number.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitlens.core.files import replacing
from bitlens.nn import QuantEmbedding, freeze
from bitlens.nn.layer import QuantLayer
from bitlens.quant.base import FixedScale, per_channel
from bitlens.train.recipe import TrainError

__all__ = ["load_weights", "save_weights"]

_CODES = "weight_codes"  # in the place of a float weight


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a net's frozen weights, atomically.

    Args:
        net: trained; it is frozen and put in evaluation.
        path: of the .npz file.

    Raises:
        OSError: the file cannot be written.
    """
    state = freeze(net).state_dict()
    for name, module in net.named_modules():
        if isinstance(module, QuantLayer) and module.frozen:
            del state[f"{name}.weight"]
            integers = state.pop(f"{name}.weight_integers")
            state[f"{name}.{_CODES}"] = integers.to(_narrowest(integers))
        elif isinstance(module, QuantEmbedding) and isinstance(module.output_quantizer, FixedScale):
            integers, _ = module.output_quantizer.codes(state.pop(f"{name}.weight"))
            state[f"{name}.{_CODES}"] = integers.to(_narrowest(integers))
    arrays = {name: value.cpu().numpy() for name, value in state.items()}
    with replacing(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_weights(net: nn.Module, path: Path) -> None:
    """Read frozen weights into a fresh net of the same recipe and bits, which is frozen and put in evaluation.

    Raises:
        TrainError: the file is damaged or belongs to another net.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            state: dict[str, Any] = {name: torch.from_numpy(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise TrainError(f"{path}: must be whole weights, not damaged or foreign") from error
    try:
        freeze(net)  # makes room for the integers
        for name, module in net.named_modules():
            if isinstance(module, QuantLayer) and module.frozen:
                integers = state.pop(f"{name}.{_CODES}").to(torch.int32)
                state[f"{name}.weight_integers"] = integers
                scale = per_channel(state[f"{name}.weight_scale"], integers.dim())
                state[f"{name}.weight"] = integers * scale
                module.weight.requires_grad_(False)  # there is nothing to train, or to freeze again
            elif isinstance(module, QuantEmbedding) and isinstance(module.output_quantizer, FixedScale):
                state[f"{name}.weight"] = state.pop(f"{name}.{_CODES}") * module.output_quantizer.scale
        net.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{path}: must be weights of this net ({' '.join(str(error).split())[:200]})") from error


def _narrowest(integers: torch.Tensor) -> torch.dtype:
    """int8 where it holds the integers; odd grids of 8 bits reach 255."""
    return torch.int8 if integers.numel() == 0 or int(integers.abs().max()) <= 127 else torch.int16
