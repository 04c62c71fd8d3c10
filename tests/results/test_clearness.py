# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.data.degrade import blur
from bitlens.data.unseen import UNSEEN
from bitlens.results.clearness import (
    clearness_table,
    high_frequency_ratio,
    judged,
    laplacian_variance,
    render_clearness,
    tenengrad,
)

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
        found, again = judged(sharp, persons, kind), judged(sharp, persons, kind)
        assert np.array_equal(found.crops, again.crops), kind
        assert found.persons.tolist() == np.repeat(persons, len(found.crops) // 3).tolist()
        assert (found.blurred >= 0).all()
        assert ((found.likeness < 1) & (found.plain < 1)).all()


def test_the_table_has_every_measure_on_every_kind(tmp_path: Path) -> None:
    write_set(tmp_path, "ytfaces", [record(f"{name}_0", "test", (20, 20, 100, 96)) for name in "ABC"])
    write_set(tmp_path, "helen", [record("D_0", "train", (20, 20, 100, 96)), record("E_0", "test", (20, 20, 100, 96))])
    report = clearness_table(tmp_path, limit=3)
    assert (report["crops"], report["persons"]) == (3, 3)
    assert report["milliseconds"] > 0
    assert len(report["rows"]) == 5 * 6
    for row in report["rows"]:
        for key in ("blur", "likeness", "plain_likeness"):
            assert all(-1 <= value <= 1 for value in row[key])
    text = render_clearness(report).splitlines()
    assert text[0].startswith("3 sharp crops of 3 persons; ")
    assert len(text) == 4 + 30
    assert text[4].startswith("| mixture | bitlens score | ")
