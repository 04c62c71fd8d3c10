# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.data import DataError, Dataset, Split
from bitlens.data.dataset import folder, spaced


def test_a_split_is_checked() -> None:
    images = np.zeros((2, 4, 4, 1), np.uint8)
    assert len(Split(images, np.zeros(2, np.int64))) == 2
    with pytest.raises(DataError, match=r"^images: must be uint8 \(N, H, W, C\), not float64 \(2, 4, 4, 1\)$"):
        Split(images.astype(float), np.zeros(2, np.int64))
    with pytest.raises(DataError, match=r"^labels: must be 2 numbers, not \(3,\)$"):
        Split(images, np.zeros(3, np.int64))


def test_missing_folders_are_told(tmp_path: Path) -> None:
    assert folder(tmp_path, "MNIST") == tmp_path
    with pytest.raises(DataError, match=r"^MNIST: a data folder must be given \(--data DIR\), not none$"):
        folder(None, "MNIST")
    (tmp_path / "file").touch()
    for name, state in (("nowhere", "missing"), ("file", "a file")):
        with pytest.raises(DataError) as caught:
            folder(tmp_path / name, "MNIST")
        assert str(caught.value) == f"{tmp_path / name}: must be a folder with the MNIST files, not {state}"


@pytest.mark.parametrize(("labels", "worst"), [([0, 3], 3), ([-1, 2], -1), ([255, 0], 255)])
def test_labels_are_numbers_of_classes(labels: list[int], worst: int) -> None:
    images = np.zeros((2, 4, 4, 1), np.uint8)
    good, bad = (Split(images, np.array(found)) for found in ([0, 2], labels))
    for name, parts in (("training", (bad, good)), ("test", (good, bad))):
        with pytest.raises(DataError, match=rf"^labels of the {name} part must be 0 to 2, not {worst}$"):
            Dataset(*parts, tuple("abc"))
    with pytest.raises(DataError, match=r"^test part must hold images, not none$"):
        Dataset(good, Split(images[:0], np.zeros(0, np.int64)), tuple("abc"))


@pytest.mark.parametrize(("count", "limit"), [(10, 3), (10, 10), (10, 11), (10, 1), (7, None), (10_000, 1000)])
def test_chosen_images_lie_evenly(count: int, limit: int | None) -> None:
    found = spaced(count, limit)
    assert len(found) == min(count, count if limit is None else limit)
    assert found[0] == 0
    assert found[-1] < count
    steps = np.diff(np.append(found, count))
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
