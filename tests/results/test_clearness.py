# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.data.degrade import blur
from bitlens.data.unseen import UNSEEN
from bitlens.results.clearness import (
    ROWS,
    Spoiled,
    agreement,
    high_frequency_ratio,
    laplacian_variance,
    spoil_all,
    tenengrad,
)
from bitlens.results.clearness import test_samples as samples_of
from face_sets import record, write_set

CROP = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)


def filtered(kernel: list[list[int]]) -> np.ndarray:
    """Every whole 3x3 window times a kernel."""
    image, weights = CROP.astype(int), np.array(kernel)
    return np.array([[(image[i : i + 3, j : j + 3] * weights).sum() for j in range(5)] for i in range(7)])


def test_the_usual_measures_are_their_formulas() -> None:
    assert laplacian_variance(CROP) == pytest.approx(filtered([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).var())
    across, down = filtered([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), filtered([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    assert tenengrad(CROP) == pytest.approx((across**2 + down**2).mean())
    image = CROP.astype(np.float32)
    assert high_frequency_ratio(CROP) == pytest.approx((image - blur(image, 1.5)).var() / image.var(), rel=1e-6)
    assert high_frequency_ratio(np.full((8, 8), 4, np.uint8)) == 0.0


def test_the_truth_of_every_kind() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (3, 112, 112)).astype(np.uint8)
    persons = np.array([0, 0, 1])
    for kind in ("mixture", *UNSEEN):
        found, again = spoil_all(sharp, persons, kind), spoil_all(sharp, persons, kind)
        assert np.array_equal(found.crops, again.crops), kind
        assert found.persons.tolist() == np.repeat(persons, len(found.crops) // 3).tolist()
        assert (found.blurred >= 0).all()
        assert ((found.likeness < 1) & (found.plain < 1)).all()


def test_the_test_persons_are_judged_by_every_kind(tmp_path: Path) -> None:
    write_set(tmp_path, "ytfaces", [record(f"{name}_0", "test", (20, 20, 100, 96)) for name in "ABC"])
    write_set(tmp_path, "helen", [record("D_0", "train", (20, 20, 100, 96)), record("E_0", "test", (20, 20, 100, 96))])
    samples = samples_of(tmp_path, limit=3)
    assert [*samples] == ["mixture", *UNSEEN]
    assert [len(own.crops) for own in samples.values()] == [9, 3, 3, 3, 3]
    assert samples["disc"].persons.tolist() == [0, 1, 2]


def test_agreement_is_rank_correlation_with_each_truth() -> None:
    persons = np.arange(30)
    truth = np.random.default_rng(0).permutation(30) / 30
    own = Spoiled(np.zeros((30, 4, 4), np.uint8), persons, -truth, truth**3, -truth)
    figures = agreement(lambda crops: np.exp(truth), {"disc": own})
    assert figures == {
        "rank correlation with blur, disc": [1.0, 1.0, 1.0],
        "rank correlation with likeness, disc": [1.0, 1.0, 1.0],
        "rank correlation with likeness with contrast, disc": [-1.0, -1.0, -1.0],
    }


def test_every_row_can_be_measured(tmp_path: Path) -> None:
    names = [record(f"{name}_0", "test", (20, 20, 100, 96)) for name in "ABC"]
    write_set(tmp_path, "ytfaces", names)
    write_set(tmp_path, "helen", [record("D_0", "test", (20, 20, 100, 96))])
    for name, measure in ROWS.items():
        figures = measure(tmp_path)
        if name == "clearness, size and speed":
            assert (figures["sharp crops"], figures["persons"]) == (4, 4)
        else:
            assert len(figures) == 5 * 3
            assert all(-1 <= value <= 1 for figure in figures.values() for value in figure), name
