# SPDX-License-Identifier: Apache-2.0
"""Face detection: a heat map, boxes and landmarks at several strides, learned from composed scenes.

A face belongs to the map whose cells are a third to a sixth of its side (the root of its box's area). The cell next to its
middle is to be hot; cells around it are to be cold, the less the nearer they are.
Source: the heat's loss is that of Law and Deng, CornerNet, arXiv 1808.01244 eq. 1, in the use of Zhou et al., Objects as Points,
arXiv 1904.07850; the boxes' is that of Yu et al., UnitBox, arXiv 1608.01471, beside it an absolute difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bitlens.data import FacePicture, faces
from bitlens.data.faceless import faceless_views
from bitlens.data.scenes import Scene, Scenes
from bitlens.train.detected import detections, recall, threshold_of
from bitlens.train.maker import Made, MadeSetup, MadeTask, Maker, luma_tensor
from bitlens.train.task import Task

__all__ = ["FaceDetection", "detection_loss", "pack"]

_FACE, _UNKNOWN = 1.0, 2.0  # last number of a row of targets
_FIELDS = 15  # left, top, width, height, ten of landmarks, kind
_SPREAD = 0.12  # deviation of the heat, in sides of a face
_NEAR = 0.5  # boxes are learned where the heat is at least this
_BETWEEN = 1.25  # faces so near to another map's range are no concern of that map
_STEPS = 256  # of an epoch
_CHECKED = 96  # validation scenes


def pack(scenes: Sequence[Scene]) -> npt.NDArray[np.float32]:
    """Return what is known of scenes as one array (N, F, 15), rows of NaN where a scene has fewer than F."""
    most = max(len(scene.boxes) + len(scene.unknown) for scene in scenes)
    packed = np.full((len(scenes), most, _FIELDS), np.nan, np.float32)
    for scene, rows in zip(scenes, packed, strict=True):
        faces_, others = len(scene.boxes), len(scene.boxes) + len(scene.unknown)
        rows[:faces_, :4], rows[faces_:others, :4] = scene.boxes, scene.unknown
        rows[:faces_, 4:14] = scene.landmarks.reshape(faces_, 10)
        rows[:faces_, 14], rows[faces_:others, 14] = _FACE, _UNKNOWN
    return packed


def detection_loss(maps: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
    """Return the losses "heat", "box" and "landmarks", 0-d, each a mean over faces.

    Args:
        maps: of the net, (N, 15, h, w) by "strideS".
        targets: of `pack`, as a tensor.
    """
    scene, row = torch.nonzero(targets[:, :, -1] == _FACE, as_tuple=True)
    known = targets[scene, row]  # (F, 15)
    blank, blank_row = torch.nonzero(targets[:, :, -1] == _UNKNOWN, as_tuple=True)
    unknown = targets[blank, blank_row]  # (K, 15)
    sides = (known[:, 2] * known[:, 3]).sqrt()
    totals = {key: targets.new_zeros(()) for key in ("heat", "box", "landmarks")}
    strides = sorted(int(name.removeprefix("stride")) for name in maps)
    for stride in strides:
        cells = maps[f"stride{stride}"]
        least = 0.0 if stride == strides[0] else 6.0 * stride / 2
        most = torch.inf if stride == strides[-1] else 6.0 * stride
        own = (sides >= least) & (sides < most)
        near = (sides >= least / _BETWEEN) & (sides < most * _BETWEEN) & ~own
        around = _around(cells, known, stride)
        heat, weight = _heat(cells, scene, around, own, near, blank, unknown, stride)
        totals["heat"] = totals["heat"] + _heat_loss(cells[:, 0], heat, weight)
        box, landmarks = _shape_loss(cells, scene[own], known[own], around[own], stride)
        totals["box"], totals["landmarks"] = totals["box"] + box, totals["landmarks"] + landmarks
    count = max(1, len(known))
    marked = (~known[:, 4].isnan()).sum().clamp(min=1)
    return {"heat": totals["heat"] / count, "box": totals["box"] / count, "landmarks": totals["landmarks"] / marked}


def _grid(cells: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Where the cells of a map lie: x (1, w) and y (h, 1), in pixels."""
    y = torch.arange(cells.shape[2], device=cells.device)[:, None] * stride + 0.5
    x = torch.arange(cells.shape[3], device=cells.device)[None] * stride + 0.5
    return x, y


def _around(cells: Tensor, known: Tensor, stride: int) -> Tensor:
    """The heat of each face alone, (F, h, w); 1 at the cell next to its middle, or at all that are equally near.

    It falls with the square of the distance beyond that cell's: else a face whose middle lies between four cells, which
    the net cannot tell apart, would be taught to be hot in one and cold in three.
    """
    x, y = _grid(cells, stride)
    middle_x, middle_y = known[:, 0] + known[:, 2] / 2, known[:, 1] + known[:, 3] / 2
    square = (x[None] - middle_x[:, None, None]) ** 2 + (y[None] - middle_y[:, None, None]) ** 2  # (F, h, w)
    beyond = square - square.amin((1, 2), keepdim=True)
    return torch.exp(-beyond / (2 * _SPREAD**2 * (known[:, 2] * known[:, 3])[:, None, None]))


def _heat(
    cells: Tensor, scene: Tensor, around: Tensor, own: Tensor, near: Tensor, blank: Tensor, unknown: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    """The heat to be learned and its weight, (N, h, w) each: 0 where nothing is known, but on faces."""
    x, y = _grid(cells, stride)
    left, top, width, height = unknown[:, :4, None, None].unbind(1)  # (K, 1, 1) each
    hidden = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)  # (K, h, w)
    doubtful = (around > 0.05) & near[:, None, None]
    masked = _most(cells, torch.cat([blank, scene]), torch.cat([hidden, doubtful]).float())
    heat = _most(cells, scene, around * own[:, None, None])
    return heat, torch.where(heat > 0.01, 1.0, 1.0 - masked)


def _most(cells: Tensor, scene: Tensor, values: Tensor) -> Tensor:
    """The largest of some values (F, h, w) in each cell of their scenes, (N, h, w); 0 where there are none."""
    out = values.new_zeros(cells[:, 0].shape).flatten(1)  # (N, h w)
    index = scene[:, None].expand(-1, out.shape[1])
    return out.scatter_reduce(0, index, values.flatten(1), "amax").view_as(cells[:, 0])


def _heat_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    hot = heat == 1
    log, log_not = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
    share = logits.sigmoid()
    loss = torch.where(hot, (1 - share) ** 2 * log, (1 - heat) ** 4 * share**2 * log_not)
    return -(loss * weight).sum()


def _shape_loss(cells: Tensor, scene: Tensor, known: Tensor, around: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The losses of boxes and landmarks, summed over faces, each a mean over the cells near its middle."""
    face, row, column = torch.nonzero(around >= _NEAR, as_tuple=True)
    share = 1 / torch.bincount(face, minlength=len(known))[face]  # (C,): of a cell in its face
    found = cells[scene[face], :, row, column]  # (C, 15)
    target = known[face]
    place = torch.stack([column, row], 1) * stride + 0.5  # (C, 2)
    corners = torch.cat([place - target[:, :2], target[:, :2] + target[:, 2:4] - place], 1) / stride
    side = (target[:, 2] * target[:, 3]).sqrt()[:, None] / stride
    off = ((found[:, 1:5] - corners).abs() / side).sum(1)
    box = (share * (1 - _overlap(found[:, 1:5], corners) + off)).sum()
    points = (target[:, 4:14].reshape(-1, 5, 2) - place[:, None]) / stride
    marked = ~points[:, 0, 0].isnan()
    distance = (found[:, 5:].reshape(-1, 5, 2) - points)[marked].abs().sum((1, 2)) / side[marked, 0]
    return box, (share[marked] * distance).sum()


def _overlap(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union (C,) of boxes around one cell, as distances (C, 4) of left, top, right, bottom."""
    low = torch.minimum(found, truth)
    shared = (low[:, 0] + low[:, 2]).clamp(min=0) * (low[:, 1] + low[:, 3]).clamp(min=0)
    areas = [(b[:, 0] + b[:, 2]).clamp(min=0) * (b[:, 1] + b[:, 3]).clamp(min=0) for b in (found, truth)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


@dataclass(frozen=True)
class FaceDetection(MadeSetup):
    """Scenes composed anew for every step; recall on validation scenes, two false alarms in 100 views of photographs.

    Args:
        small: height and width of most steps' scenes.
        large: of every fourth step's, so that faces of 300 pixels are learned too; such a step has as many pixels.
    """

    small: int = 192
    large: int = 416

    def maker(self, data: str | Path | None, batch: int, seed: int) -> Maker:
        """Read what scenes are composed of; see `MadeSetup`."""
        return _Composer(self, Scenes(_pictures(data), "train"), batch, seed)

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the data set; see `TaskSetup`."""
        pictures = _pictures(data)
        maker = _Composer(self, Scenes(pictures, "train"), batch, seed)
        return _Opened(maker, Scenes(pictures, "val"), device)

    def example(self) -> Tensor:
        """Return one black picture (1, 1, H, W)."""
        return torch.zeros(1, 1, self.small, self.small)


def _pictures(data: str | Path | None) -> list[FacePicture]:
    return faces(data, "ytfaces", "helen", "maskboxes", "nonface")


@dataclass(frozen=True)
class _Composer(Maker):
    setup: FaceDetection
    scenes: Scenes
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch: there is no end to scenes, this is how often figures are wanted."""
        return _STEPS

    @property
    def fewest(self) -> int:
        """Scenes of a step of large ones."""
        return max(1, round(self.batch * (self.setup.small / self.setup.large) ** 2))

    def make(self, epoch: int, step: int) -> Made:
        """Compose a step's scenes; targets as of `pack`."""
        rng = np.random.default_rng([self.seed, epoch, step])
        side, count = self.setup.small, self.batch
        if step % 4 == 3:
            side, count = self.setup.large, self.fewest
        scenes = [self.scenes.compose(side, side, rng) for _ in range(count)]
        return Made(np.stack([scene.luma for scene in scenes]), pack(scenes))


class _Opened(MadeTask):
    metric = "val_recall"

    def __init__(self, maker: Maker, checked: Scenes, device: torch.device) -> None:
        super().__init__(maker, device)
        rng = np.random.default_rng(0)
        self.empty = faceless_views(checked.backgrounds)
        self.checked = [checked.compose(288, 288, rng) for _ in range(_CHECKED)]

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the sum of the losses of heat, boxes and landmarks (a tenth for each coordinate)."""
        losses = detection_loss(net(inputs), targets)
        loss = losses["heat"] + losses["box"] + 0.2 * losses["landmarks"]
        named = {"loss": loss, **losses}
        figures = torch.stack([*named.values()]).tolist()  # one wait for the device
        return loss, {"steps": 1, **dict(zip(named, figures, strict=True))}

    def weight(self, targets: Tensor) -> Tensor:
        """Return the number of faces, at least 1; landmarks, which not all faces have, are weighed as if all had them."""
        return (targets[:, :, -1] == _FACE).sum().clamp(min=1)

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss and its parts."""
        return {f"train_{key}": round(sums[key] / sums["steps"], 6) for key in ("loss", "heat", "box", "landmarks")}

    @torch.no_grad()
    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return val_recall (faces of at least 20 pixels found at the threshold) and val_threshold (of the heat)."""
        training = net.training
        net.eval()
        threshold = threshold_of([detections(self._maps(net, luma)) for luma in self.empty])
        figures = recall([detections(self._maps(net, scene.luma)) for scene in self.checked], self.checked, threshold)
        net.train(training)
        return {"val_recall": round(figures, 6), "val_threshold": round(threshold, 4)}

    def _maps(self, net: nn.Module, luma: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        maps = net(luma_tensor(luma[None], self.device))
        return {name: values[0].permute(1, 2, 0).cpu().numpy() for name, values in maps.items()}
