# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.data import DataError, Split
from bitlens.data.dataset import folder


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
