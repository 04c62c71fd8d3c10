# SPDX-License-Identifier: Apache-2.0
"""Face detector: one small net that looks for faces of one octave, at three scales of the picture.

    luma -> 1/4 -> step -> 1/8 -> step -> 1/16 -> step -> 1/32       step: 32 -> 64 (stride 2) -> 32 channels
                           look           look            look       look: three times 32 -> 32 channels, then the head

A face twice as large is looked for in a map twice as coarse by the same filters: steps and looks share their weights, and
each scale has batch norms of its own. So 77,000 weights serve faces of 20 to 300 pixels.
There is no way back up and no operator that holds a size: any height and width will do.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["FaceDetectorNet"]

_STRIDES = (8, 16, 32)
_OUTPUTS = 15  # heat; left, top, right, bottom; 5 landmarks of x and y
_COLD, _CELLS = -4.0, 2.0  # the first heat; the first distance of a box's sides


class FaceDetectorNet(nn.Module):
    """A heat map, boxes and landmarks at strides 8, 16 and 32.

    Args:
        spec: how it is quantized.
        width: channels of the maps between the steps; a step has twice as many within.
    """

    def __init__(self, spec: Spec, width: int = 32) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(1, width, 7, stride=4, padding=3), layers.norm(width)
        self.conv1, self.bn1 = layers.conv(width, width, 3, padding=1), layers.norm(width)
        self.down = layers.conv(width, 2 * width, 3, stride=2, padding=1)
        self.narrow = layers.conv(2 * width, width, 3, padding=1)
        self.looks = nn.ModuleList(layers.conv(width, width, 3, padding=1) for _ in range(3))
        self.head = layers.last_conv(width, _OUTPUTS)
        self.down_norms = nn.ModuleList(layers.norm(2 * width) for _ in _STRIDES)
        self.narrow_norms = nn.ModuleList(layers.norm(width) for _ in _STRIDES)
        self.look_norms = nn.ModuleList(nn.ModuleList(layers.norm(width) for _ in self.looks) for _ in _STRIDES)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.zero_()
            self.head.bias[0], self.head.bias[1:5] = _COLD, _CELLS

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return maps of luma (N, 1, H, W), float32 in [0, 1]; any H and W.

        Returns:
            "stride8", "stride16", "stride32": (N, 15, ceil(H/s), ceil(W/s)); the cell (i, j) lies on pixel (s i, s j).
            Channels: heat (a logit), the distances of the box's left, top, right and bottom, in cells and outward, then x
            and y of five landmarks, in cells from the cell.
        """
        x = self.bn1(self.conv1(self.bn0(self.conv0(x))))
        maps = {}
        for i, stride in enumerate(_STRIDES):
            x = self.down_norms[i](self.down(x))
            x = self.narrow_norms[i](self.narrow(x))
            y, norms = x, cast(nn.ModuleList, self.look_norms[i])
            for look, norm in zip(self.looks, norms, strict=True):
                y = norm(look(y))
            maps[f"stride{stride}"] = self.head(y)
        return maps
