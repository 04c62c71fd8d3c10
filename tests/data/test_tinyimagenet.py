# SPDX-License-Identifier: Apache-2.0
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError, tinyimagenet

FILE = "tiny_imagenet_25.npz"


def write(folder: Path) -> None:
    arrays = {"class_names": np.array(["koala, koala bear", "brain coral"])}
    for part, levels in (("train", [10, 20, 30]), ("val", [40])):
        encoded = []
        for level in levels:
            stream = io.BytesIO()
            Image.fromarray(np.full((64, 64), level, np.uint8)).save(stream, "JPEG")
            encoded.append(stream.getvalue())
        arrays[f"offsets_{part}"] = np.cumsum([0, *map(len, encoded)])
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"labels_{part}"] = (np.arange(len(levels)) % 2).astype(np.uint8)
    np.savez(folder / FILE, **arrays)


def test_the_validation_part_is_the_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    cache = tmp_path / "cache"
    for decoded in (False, True):
        if decoded:
            monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
        dataset = tinyimagenet(tmp_path, cache)
        assert dataset.classes == ("koala", "brain coral")
        assert dataset.train.images[:, 0, 0].tolist() == [[10] * 3, [20] * 3, [30] * 3]
        assert dataset.train.labels.tolist() == [0, 1, 0]
        assert dataset.test.images.shape == (1, 64, 64, 3)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        tinyimagenet(tmp_path)
    assert str(caught.value) == f"{tmp_path}: must hold {FILE}, not none"


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"25.npz: must be an npz of Tiny-ImageNet JPEGs \(.*\)$"):
        tinyimagenet(tmp_path, tmp_path / "cache")
