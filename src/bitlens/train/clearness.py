# SPDX-License-Identifier: Apache-2.0
"""Clearness of faces: sharp crops made worse in known amounts, two figures to be told from what is left.

Sharpness falls from 1 to 0 while the blur grows from 0 to 4 pixels. Likeness is the structural similarity to the sharp crop,
both at one mean and contrast. No label of people is used: what is known is what was done to the crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.data.agreement import spearman
from bitlens.data.dataset import DataError
from bitlens.data.degrade import Degradation, degrade, draw_mixture, draw_training
from bitlens.data.detail import detail
from bitlens.data.faces import FacePicture, faces
from bitlens.data.ssim import structural_similarity
from bitlens.train.maker import Made, MadeSetup, MadeTask, Maker, luma_tensor
from bitlens.train.task import Task
from bitlens.vision.clearness import CLEARNESS_MARGIN, CLEARNESS_SIZE
from bitlens.vision.crop import cut_square, level, square_around
from bitlens.vision.records import Box

__all__ = ["ClearnessOfFaces", "SharpCrops", "Worsened", "sharp_crops", "sharpness_of", "worsen"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float32]
Draw = Callable[[np.random.Generator], Degradation]

_SETS = ("helen", "ytfaces")
_LEAST_DETAIL = 0.12
_MOST_OF_PERSON = 6
_DRAWS = 4  # of every sharp crop, an epoch
_CHECKED_DRAWS = 6  # the validation persons are few
_MOST_BLUR = 4.0  # pixels
_CHECKED_SEED = 20
_SPREAD = 2.0  # of sharpness over that of likeness: their errors count alike


class SharpCrops(NamedTuple):
    """Crops to make worse.

    Args:
        crops: uint8 (N, 112, 112).
        persons: whose they are, numbers (N,); a picture of nobody known is a person of its own.
    """

    crops: Bytes
    persons: npt.NDArray[np.int64]


def sharp_crops(pictures: Iterable[FacePicture]) -> SharpCrops:
    """Return the crops that have real detail to lose.

    A crop is taken where it need not be enlarged and its `detail` is at least 0.12; of a person at most the six with most.
    """
    found: dict[str, list[tuple[float, Bytes]]] = {}
    for picture in pictures:
        luma = picture.luma()
        for face in picture.faces:
            square = square_around(Box(*face.box), CLEARNESS_MARGIN)
            if square[2] < CLEARNESS_SIZE:
                continue
            crop = cut_square(luma, square, CLEARNESS_SIZE)
            if detail(crop) >= _LEAST_DETAIL:
                found.setdefault(picture.person or picture.file, []).append((detail(crop), crop))
    chosen = [sorted(own, key=lambda pair: -pair[0])[:_MOST_OF_PERSON] for own in found.values()]
    crops = [crop for own in chosen for _, crop in own]
    persons = np.repeat(np.arange(len(chosen)), [len(own) for own in chosen])
    empty = np.zeros((0, CLEARNESS_SIZE, CLEARNESS_SIZE), np.uint8)
    return SharpCrops(np.stack(crops) if crops else empty, persons.astype(np.int64))


def sharpness_of(amounts: Degradation) -> float:
    """Return 1 without blur, 0 at a Gaussian of 4 pixels or more; a motion counts by its standard deviation."""
    return max(0.0, 1.0 - math.hypot(amounts.sigma, amounts.length / math.sqrt(24)) / _MOST_BLUR)


@dataclass(frozen=True)
class Worsened:
    """Crops made worse.

    Args:
        crops: uint8 (N, 112, 112).
        amounts: what was done to each.
        sharpness, likeness: (N,), see `sharpness_of`; structural similarity to the sharp crop, both levelled.
    """

    crops: Bytes
    amounts: list[Degradation]
    sharpness: Reals
    likeness: Reals


def worsen(sharp: Bytes, draw: Draw, rng: np.random.Generator) -> Worsened:
    """Make every sharp crop (N, H, W) worse by amounts drawn."""
    amounts = [draw(rng) for _ in sharp]
    crops = np.stack([degrade(crop, amount, rng) for crop, amount in zip(sharp, amounts, strict=True)])
    pairs = zip(level(sharp), level(crops), strict=True)
    likeness = np.array([structural_similarity(clean, worse) for clean, worse in pairs], np.float32)
    return Worsened(crops, amounts, np.array([sharpness_of(amount) for amount in amounts], np.float32), likeness)


@dataclass(frozen=True)
class ClearnessOfFaces(MadeSetup):
    """Sharp face crops made worse, mirrored by chance; squared error; rank correlations on the validation persons.

    Args:
        draws: of every sharp crop, an epoch.
    """

    draws: int = _DRAWS

    def maker(self, data: str | Path | None, batch: int, seed: int) -> Maker:
        """Cut the sharp crops of the training persons; see `MadeSetup`."""
        return _Worsener(_sharp(data, "train"), self.draws, batch, seed)

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the face sets; see `TaskSetup`."""
        maker, kept = self.maker(data, batch, seed), _sharp(data, "val")
        return _Opened(maker, np.repeat(kept, _CHECKED_DRAWS, axis=0), batch, device)

    def example(self) -> Tensor:
        """Return one black crop (1, 1, 112, 112)."""
        return torch.zeros(1, 1, CLEARNESS_SIZE, CLEARNESS_SIZE)


def _sharp(data: str | Path | None, split: str) -> Bytes:
    crops = sharp_crops(p for p in faces(data, *_SETS) if p.split == split).crops
    if not len(crops):
        raise DataError(f"{data}: must hold sharp faces to train on and to validate on, not none")
    return crops


@dataclass(frozen=True)
class _Worsener(Maker):
    sharp: Bytes
    draws: int
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, self.draws * len(self.sharp) // self.batch)

    @property
    def fewest(self) -> int:
        """Samples of the smallest step."""
        return min(self.draws * len(self.sharp), self.batch)

    def make(self, epoch: int, step: int) -> Made:
        """Make a step's crops worse: levelled crops (N, 112, 112), sharpness and likeness (N, 2)."""
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(self.draws * len(self.sharp))
        chosen = order[step * self.batch : (step + 1) * self.batch] % len(self.sharp)
        rng = np.random.default_rng([self.seed, epoch, step + 1])
        sharp = self.sharp[chosen]
        mirrored = rng.random(len(sharp)) < 0.5
        sharp[mirrored] = sharp[mirrored, :, ::-1]
        found = worsen(sharp, draw_training, rng)
        return Made(level(found.crops), np.stack([found.sharpness, found.likeness], 1))


class _Opened(MadeTask):
    metric = "val_spearman"

    def __init__(self, maker: Maker, sharp: Bytes, batch: int, device: torch.device) -> None:
        super().__init__(maker, device)
        self.batch_size = batch
        self.checked = worsen(sharp, draw_mixture, np.random.default_rng(_CHECKED_SEED))

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the mean squared error, that of likeness four times, since it varies half as much."""
        scale = torch.tensor([1.0, _SPREAD], device=self.device)
        loss = F.mse_loss(net(inputs) * scale, targets * scale)
        return loss, {"loss": loss.item() * len(targets), "seen": len(targets)}

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss."""
        return {"train_loss": round(sums["loss"] / sums["seen"], 6)}

    @torch.no_grad()
    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return val_spearman, the mean of val_spearman_sharpness and val_spearman_likeness, of their outputs."""
        training, checked = net.training, self.checked
        net.eval()
        crops = level(checked.crops)
        parts = [crops[start : start + self.batch_size] for start in range(0, len(crops), self.batch_size)]
        found = torch.cat([net(luma_tensor(part, self.device)) for part in parts]).cpu().numpy()  # (N, 2)
        net.train(training)
        each = [spearman(found[:, 0], checked.sharpness), spearman(found[:, 1], checked.likeness)]
        return {
            "val_spearman": round(sum(each) / 2, 6),
            "val_spearman_sharpness": round(each[0], 6),
            "val_spearman_likeness": round(each[1], 6),
        }
