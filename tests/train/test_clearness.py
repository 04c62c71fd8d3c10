# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.data import DataError, faces
from bitlens.data.degrade import Degradation, draw_mixture
from bitlens.data.ssim import structural_similarity
from bitlens.train import find_recipe
from bitlens.train.clearness import ClearnessOfFaces, sharp_crops, sharpness_of, worsen
from bitlens.vision.crop import level
from face_sets import record, write_set

CPU = torch.device("cpu")
LARGE = (20, 20, 100, 96)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    own = [record(f"A_{number}", "train", LARGE) for number in range(8)]
    rest = [record("B_0", "train", LARGE), record("C_0", "train", (20, 20, 60, 60)), record("D_0", "test", LARGE)]
    write_set(tmp_path, "ytfaces", [*own, *rest], blurred=["B_0"])
    write_set(tmp_path, "helen", [record("E_0", "train", LARGE), record("F_0", "val", LARGE)])
    return tmp_path


def test_sharp_crops_are_large_detailed_and_few_of_a_person(data: Path) -> None:
    train = sharp_crops(p for p in faces(data, "ytfaces", "helen") if p.split == "train")
    assert train.crops.shape == (6 + 1, 112, 112)  # six of A, none of B (no detail) and C (small), E
    assert train.crops.dtype == np.uint8
    assert train.persons.tolist() == [0] * 6 + [1]
    assert sharp_crops([]).crops.shape == (0, 112, 112)
    assert sharp_crops([]).persons.shape == (0,)


def test_sharpness_falls_evenly_with_the_blur() -> None:
    assert [sharpness_of(Degradation(sigma=s)) for s in (0.0, 1.0, 4.0, 9.0)] == [1.0, 0.75, 0.0, 0.0]
    assert sharpness_of(Degradation(length=24**0.5)) == pytest.approx(0.75)
    assert sharpness_of(Degradation(noise=9.0, quality=20, side=30, gain=0.5)) == 1.0


def test_worsen_tells_what_was_done() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (3, 40, 40)).astype(np.uint8)
    found = worsen(sharp, draw_mixture, np.random.default_rng(1))
    again = worsen(sharp, draw_mixture, np.random.default_rng(1))
    assert np.array_equal(found.crops, again.crops)
    assert found.sharpness.tolist() == pytest.approx([1 - amount.sigma / 4 for amount in found.amounts])
    for clean, worse, likeness in zip(sharp, found.crops, found.likeness, strict=True):
        levelled = level(np.stack([clean, worse]))
        assert likeness == pytest.approx(structural_similarity(levelled[0], levelled[1]))
    untouched = worsen(sharp, lambda rng: Degradation(), np.random.default_rng(0))
    assert untouched.likeness.tolist() == pytest.approx([1.0] * 3)


def test_batches_follow_from_seed_epoch_and_step(data: Path) -> None:
    task = ClearnessOfFaces(draws=2).open(data, None, 4, 0, CPU)
    assert task.steps == 2 * 7 // 4
    inputs, targets = task.batch(1, 2)
    assert task.fewest == len(inputs)
    assert inputs.shape == (4, 1, 112, 112)
    assert targets.shape == (4, 2)
    again = ClearnessOfFaces(draws=2).open(data, None, 4, 0, CPU).batch(1, 2)
    assert torch.equal(inputs, again[0])
    assert torch.equal(targets, again[1])
    assert not torch.equal(inputs, task.batch(2, 2)[0])
    assert not torch.equal(inputs, ClearnessOfFaces(draws=2).open(data, None, 4, 1, CPU).batch(1, 2)[0])


def test_loss_and_figures(data: Path) -> None:
    task = ClearnessOfFaces().open(data, None, 6, 0, CPU)

    class Known(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.stack([task.checked.sharpness, -task.checked.likeness], 1))[: len(x)]  # type: ignore[attr-defined]

    inputs, targets = torch.zeros(2, 1, 112, 112), torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    loss, sums = task.loss(lambda x: torch.tensor([[1.0, 0.5], [0.5, 0.75]]), inputs, targets)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx((0.5**2 + (2 * 0.25) ** 2) / 4)
    assert task.train_figures(sums) == {"train_loss": 0.125}
    figures = task.evaluate(Known())
    assert figures["val_spearman_sharpness"] == pytest.approx(1.0)
    assert figures["val_spearman_likeness"] == pytest.approx(-1.0)
    assert figures[task.metric] == 0.0


def test_validation_persons_are_judged_not_test_persons(data: Path) -> None:
    task = ClearnessOfFaces().open(data, None, 4, 0, CPU)
    (sharp,) = sharp_crops(p for p in faces(data, "helen") if p.split == "val").crops
    assert np.array_equal(
        task.checked.crops, worsen(np.stack([sharp] * 6), draw_mixture, np.random.default_rng(20)).crops
    )  # type: ignore[attr-defined]


def test_no_sharp_faces_is_told(tmp_path: Path) -> None:
    for name in ("ytfaces", "helen"):
        write_set(tmp_path, name, [record("A_0", "train", LARGE)])
    with pytest.raises(DataError) as error:
        find_recipe("face_clearness").task.open(tmp_path, None, 4, 0, CPU)
    assert str(error.value) == f"{tmp_path}: must hold sharp faces to train on and to validate on, not none"
