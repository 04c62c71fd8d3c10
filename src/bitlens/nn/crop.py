# SPDX-License-Identifier: Apache-2.0
"""Cut a map to the size of another: what skip joins of odd sizes need."""

import torch
from torch import Tensor

from bitlens.quant.base import is_exporting

__all__ = ["crop_like"]


def crop_like(x: Tensor, like: Tensor) -> Tensor:
    """Return x without the last rows and columns by which it is larger.

    Exported, the size is looked up when the model runs, so that the graph serves every size.

    Args:
        x: (N, C, H, W).
        like: (N, C', H', W') with H' <= H and W' <= W.
    """
    if is_exporting():
        exported: Tensor = _crop_like(x, like)
        return exported
    return x if x.shape[2:] == like.shape[2:] else x[:, :, : like.shape[2], : like.shape[3]]


@torch.library.custom_op("bitlens::crop_like", mutates_args=())
def _crop_like(x: Tensor, like: Tensor) -> Tensor:
    return x[:, :, : like.shape[2], : like.shape[3]].clone()


@_crop_like.register_fake
def _(x: Tensor, like: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:2], *like.shape[2:])
