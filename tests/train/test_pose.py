# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.data import DataError, faces
from bitlens.train.pose import PoseOfFaces, posed_crops
from bitlens.vision import Box
from bitlens.vision.crop import crop_faces
from face_sets import record, write_set

CPU = torch.device("cpu")
POSES = [(-40.0, 3.0, 1.0), (-5.0, 2.0, -3.0), (10.0, -4.0, 0.0), (50.0, 9.0, 6.0)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [record(f"A_{n}", "train", (30, 30, 50, 60), pose) for n, pose in enumerate(POSES)]
    lines += [record(f"B_{n}", "test", (30 + n, 30, 50, 60), pose) for n, pose in enumerate(POSES)]
    lines += [record(f"C_{n}", "val", (30, 30, 50, 60), pose) for n, pose in enumerate(POSES)]
    write_set(tmp_path, "ytfaces", lines)
    write_set(
        tmp_path, "helen", [record("D_0", "train", (30, 30, 50, 60), POSES[1]), record("D_1", "test", (9, 9, 9, 9))]
    )
    return tmp_path


def test_crops_with_a_pose(data: Path) -> None:
    pictures = [p for p in faces(data, "helen", "ytfaces") if p.split == "test"]
    found = posed_crops(pictures)  # that of helen has none
    assert found.angles.tolist() == [[*pose] for pose in POSES]
    wanted = [crop_faces(p.luma(), [Box(*p.faces[0].box)], 64, 1.2)[0] for p in pictures[1:]]
    assert np.array_equal(found.crops, np.stack(wanted))
    wider = posed_crops(pictures, 1.5).crops
    assert wider.shape == (4, 96, 96)
    assert np.abs(wider[0, 16:80, 16:80].astype(int) - found.crops[0]).max() <= 1  # the same scale
    with pytest.raises(DataError, match=r"^faces: must have poses, not none$"):
        posed_crops(pictures[:1])


def test_batches_follow_from_seed_epoch_and_step(data: Path) -> None:
    task = PoseOfFaces().open(data, None, 5, 0, CPU)
    assert task.steps == 1
    inputs, targets = task.batch(0, 0)
    assert task.fewest == len(inputs)
    again = PoseOfFaces().open(data, None, 5, 0, CPU).batch(0, 0)
    assert inputs.shape == (5, 1, 64, 64)
    assert torch.equal(inputs, again[0])
    assert torch.equal(targets, again[1])
    assert not torch.equal(inputs, task.batch(1, 0)[0])
    known = {(abs(yaw), pitch, abs(roll)) for yaw, pitch, roll in POSES}
    for yaw, pitch, roll in (targets * 30).round().tolist():
        assert (abs(yaw), pitch, abs(roll)) in known
    signs = {tuple(np.sign(row)) for epoch in range(8) for row in (task.batch(epoch, 0)[1] * 30).round().tolist()}
    assert {(-1.0, 1.0, 1.0), (1.0, 1.0, -1.0)} <= signs  # the first pose and its mirror image


def test_loss_and_figures(data: Path) -> None:
    task = PoseOfFaces().open(data, None, 5, 0, CPU)

    class Known(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor(POSES) / 30 + torch.tensor([0.1, -0.2, 0.3])

    figures = task.evaluate(Known())
    assert (figures["val_yaw"], figures["val_pitch"], figures["val_roll"]) == pytest.approx((3, 6, 9), abs=1e-3)
    assert figures[task.metric] == pytest.approx(4.5, abs=1e-3)
    assert figures["val_frontal_auc"] == 1.0
    targets = torch.zeros(5, 3)
    loss, sums = task.loss(lambda x: targets + 0.1, torch.zeros(5, 1, 64, 64), targets)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(0.5 * 0.1**2 / 0.2)
    assert task.train_figures(sums)["train_degrees"] == pytest.approx(3.0, abs=1e-4)
