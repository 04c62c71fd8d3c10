# SPDX-License-Identifier: Apache-2.0
import gzip
from pathlib import Path

import numpy as np
import pytest

from bitlens.data import DataError, mnist

RNG = np.random.default_rng(0)
ARRAYS = {
    "x_train": RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8),
    "y_train": RNG.integers(0, 10, 6, dtype=np.uint8),
    "x_test": RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8),
    "y_test": RNG.integers(0, 10, 3, dtype=np.uint8),
}


def write_idx(folder: Path) -> None:
    for part, stem in (("train", "train"), ("test", "t10k")):
        for key, name in (("x", "images-idx3"), ("y", "labels-idx1")):
            array = ARRAYS[f"{key}_{part}"]
            raw = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
            if part == "test":
                (folder / f"{stem}-{name}-ubyte.gz").write_bytes(gzip.compress(raw))
            else:
                (folder / f"{stem}-{name}-ubyte").write_bytes(raw)


@pytest.mark.parametrize("form", ["npz", "idx"])
def test_both_forms_give_the_same(tmp_path: Path, form: str) -> None:
    if form == "npz":
        np.savez(tmp_path / "mnist.npz", **ARRAYS)
    else:
        write_idx(tmp_path)
    dataset = mnist(tmp_path)
    assert np.array_equal(dataset.train.images[..., 0], ARRAYS["x_train"])
    assert np.array_equal(dataset.test.labels, ARRAYS["y_test"])
    assert dataset.test.labels.dtype == np.int64
    assert dataset.classes == tuple("0123456789")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    name = "train-images-idx3-ubyte"
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    assert str(caught.value) == f"{tmp_path}: must hold mnist.npz or {name} (or {name}.gz), not neither"


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"PK\3\4 cut"])
def test_a_damaged_npz_is_told(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'mnist.npz'}: must be an npz with x_train, y_train, x_test, y_test"


def test_arrays_of_another_shape_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", **(ARRAYS | {"y_test": np.zeros(4, np.uint8)}))
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'mnist.npz'}: labels: must be 3 numbers, not (4,)"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"y_test": np.array([1, 10, 2], np.uint8)}, "labels of the test part must be 0 to 9, not 10"),
        ({"y_test": np.array([1.7, 2, 3])}, "labels must be integers, not float64"),
        ({"x_test": np.zeros((3, 32, 32), np.uint8)}, "images must be of 28x28, not of shape (3, 32, 32)"),
        (
            {"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, np.uint8)},
            "test part must hold images, not none",
        ),
    ],
)
def test_arrays_that_are_no_digits_are_told(tmp_path: Path, change: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "mnist.npz", **(ARRAYS | change))
    with pytest.raises(DataError) as caught:
        mnist(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'mnist.npz'}: {sentence}"
