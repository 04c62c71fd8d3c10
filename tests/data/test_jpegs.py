# SPDX-License-Identifier: Apache-2.0
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError
from bitlens.data.jpegs import decode_jpegs


def write(file: Path, parts: dict[str, list[Image.Image]], **others: np.ndarray) -> None:
    arrays = {**others}
    for part, pictures in parts.items():
        encoded = []
        for picture in pictures:
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=100)
            encoded.append(stream.getvalue())
        arrays[f"offsets_{part}"] = np.cumsum([0, *map(len, encoded)])
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"labels_{part}"] = np.arange(len(pictures), dtype=np.uint8)
    np.savez(file, **arrays)


def test_grey_and_colour_pictures(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((8, 8), 90, np.uint8))
    colour = Image.fromarray(np.full((8, 8, 3), (128, 128, 128), np.uint8))
    write(tmp_path / "packed.npz", {"a": [grey, colour], "b": [grey]})
    arrays = decode_jpegs(tmp_path / "packed.npz", "some", ("a", "b"), 8)
    assert arrays["images_a"].shape == (2, 8, 8, 3)
    assert [np.unique(image).tolist() for image in arrays["images_a"]] == [[90], [128]]
    assert arrays["labels_a"].dtype == np.int64
    assert arrays["labels_b"].tolist() == [0]


def test_another_size_is_told(tmp_path: Path) -> None:
    file = tmp_path / "packed.npz"
    write(file, {"a": [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 9))]})
    with pytest.raises(DataError) as caught:
        decode_jpegs(file, "some", ("a",), 8)
    assert str(caught.value) == f"{file}: must be an npz of some JPEGs (picture 1 of a has 8x9 pixels)"


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    file = tmp_path / "packed.npz"
    write(file, {"a": []})
    with pytest.raises(DataError, match=r"packed.npz: must be an npz of some JPEGs \(.*\)$"):
        decode_jpegs(file, "some", ("b",), 8)
