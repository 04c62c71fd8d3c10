# SPDX-License-Identifier: Apache-2.0
"""Pose of faces: yaw, pitch and roll of crops, against labels derived from landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.data.agreement import frontal_auc
from bitlens.data.dataset import DataError
from bitlens.data.degrade import Degradation, degrade
from bitlens.data.faces import FacePicture, faces
from bitlens.train.maker import Made, MadeSetup, MadeTask, Maker, luma_tensor
from bitlens.train.task import Task
from bitlens.vision.crop import cut_square, level, square_around
from bitlens.vision.pose import POSE_DEGREES, POSE_MARGIN, POSE_SIZE, frontality_of
from bitlens.vision.records import Box

__all__ = ["PoseOfFaces", "PosedCrops", "posed_crops"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]

_SETS = ("ytfaces", "helen")
_WIDE = 1.5  # what is kept of a training picture, over what the net sees
_SHIFT = 0.08  # of the side of what the net sees
_SCALE = 1.15
_SPOILED = 0.5  # share of training crops that are made worse


class PosedCrops(NamedTuple):
    """Crops and their labels.

    Args:
        crops: uint8 (N, S, S).
        angles: yaw, pitch, roll in degrees, float32 (N, 3).
    """

    crops: Bytes
    angles: Reals


def posed_crops(pictures: Iterable[FacePicture], wider: float = 1.0) -> PosedCrops:
    """Cut the faces that have a pose.

    Args:
        pictures: of face sets.
        wider: side of the crop and of what it shows, over the net's.
    """
    size = round(wider * POSE_SIZE)
    crops, angles = [], []
    for picture in pictures:
        luma = picture.luma()
        for face in picture.faces:
            if face.pose is not None:
                crops.append(cut_square(luma, square_around(Box(*face.box), wider * POSE_MARGIN), size))
                angles.append(face.pose)
    if not crops:
        raise DataError("faces: must have poses, not none")
    return PosedCrops(np.stack(crops), np.array(angles, np.float32))


@dataclass(frozen=True)
class PoseOfFaces(MadeSetup):
    """Face crops shifted, scaled, mirrored and made worse by chance; smooth absolute error; errors on the validation persons."""

    def maker(self, data: str | Path | None, batch: int, seed: int) -> Maker:
        """Cut the faces of the training persons; see `MadeSetup`."""
        return _Varier(posed_crops((p for p in faces(data, *_SETS) if p.split == "train"), _WIDE), batch, seed)

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the face sets; see `TaskSetup`."""
        checked = posed_crops(p for p in faces(data, _SETS[0]) if p.split == "val")
        return _Opened(self.maker(data, batch, seed), checked, batch, device)

    def example(self) -> Tensor:
        """Return one black crop (1, 1, 64, 64)."""
        return torch.zeros(1, 1, POSE_SIZE, POSE_SIZE)


@dataclass(frozen=True)
class _Varier(Maker):
    train: PosedCrops
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, len(self.train.crops) // self.batch)

    @property
    def fewest(self) -> int:
        """Samples of the smallest step."""
        return min(len(self.train.crops), self.batch)

    def make(self, epoch: int, step: int) -> Made:
        """Vary a step's crops: levelled crops (N, 64, 64), angles over 30 degrees (N, 3)."""
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(self.train.crops))
        chosen = order[step * self.batch : (step + 1) * self.batch]
        rng = np.random.default_rng([self.seed, epoch, step + 1])
        crops = np.stack([_varied(crop, rng) for crop in self.train.crops[chosen]])
        angles = self.train.angles[chosen]
        mirrored = rng.random(len(crops)) < 0.5
        crops[mirrored] = crops[mirrored, :, ::-1]
        angles[mirrored] *= np.array([-1, 1, -1], np.float32)
        return Made(level(crops), angles / np.float32(POSE_DEGREES))


class _Opened(MadeTask):
    metric = "val_degrees"

    def __init__(self, maker: Maker, checked: PosedCrops, batch: int, device: torch.device) -> None:
        super().__init__(maker, device)
        self.checked, self.batch_size = checked, batch

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the mean error, squared below 6 degrees."""
        found = net(inputs)
        loss = F.smooth_l1_loss(found, targets, beta=0.2)
        error = float((found.detach() - targets)[:, :2].abs().mean())
        return loss, {"loss": loss.item() * len(targets), "error": error * len(targets), "seen": len(targets)}

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss and train_degrees."""
        seen = sums["seen"]
        return {
            "train_loss": round(sums["loss"] / seen, 6),
            "train_degrees": round(sums["error"] / seen * POSE_DEGREES, 4),
        }

    @torch.no_grad()
    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return val_degrees (mean error of yaw and pitch), val_yaw, val_pitch, val_roll and val_frontal_auc."""
        training = net.training
        net.eval()
        crops = level(self.checked.crops)
        parts = [crops[start : start + self.batch_size] for start in range(0, len(crops), self.batch_size)]
        found = (
            torch.cat([net(luma_tensor(part, self.device)) for part in parts]).cpu().numpy() * POSE_DEGREES
        )  # (N, 3)
        net.train(training)
        yaw, pitch, roll = np.abs(found - self.checked.angles).mean(0)
        frontality = frontality_of(found[:, 0], found[:, 1])
        return {
            "val_degrees": round(float(yaw + pitch) / 2, 4),
            "val_yaw": round(float(yaw), 4),
            "val_pitch": round(float(pitch), 4),
            "val_roll": round(float(roll), 4),
            "val_frontal_auc": round(frontal_auc(frontality, self.checked.angles[:, 0]), 6),
        }


def _varied(crop: Bytes, rng: np.random.Generator) -> Bytes:
    """Return what the net sees of a wider crop, (64, 64): shifted, scaled, made worse by chance."""
    side = POSE_SIZE * _SCALE ** rng.uniform(-1, 1)
    left, top = (len(crop) - side) / 2 + rng.uniform(-_SHIFT, _SHIFT, 2) * POSE_SIZE
    cut = cut_square(crop, (left, top, side), POSE_SIZE)
    if rng.random() >= _SPOILED:
        return cut
    sigma, noise = rng.uniform(0.0, 1.5), rng.uniform(0.0, 10.0)
    return degrade(cut, Degradation(sigma=sigma, noise=noise, quality=int(rng.integers(30, 96))), rng)
