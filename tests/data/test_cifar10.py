# SPDX-License-Identifier: Apache-2.0
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitlens.data import DataError, cifar10

RNG = np.random.default_rng(0)
PARTS = {
    f"{name}": (RNG.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8), RNG.integers(0, 10, 2))
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
}


def rows(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def write_python(folder: Path) -> None:
    for name, (images, labels) in PARTS.items():
        batch = {b"data": rows(images), b"labels": labels.tolist(), b"batch_label": b"x"}
        text = {key.decode("latin1"): value for key, value in batch.items()}
        (folder / name).write_bytes(pickle.dumps(text, protocol=2))


def write_binary(folder: Path) -> None:
    for name, (images, labels) in PARTS.items():
        table = np.concatenate([labels[:, None].astype(np.uint8), rows(images)], axis=1)
        (folder / f"{name}.bin").write_bytes(table.tobytes())


def write_jpeg(folder: Path) -> None:
    arrays = {}
    for part, count in (("train", 3), ("test", 2)):
        encoded = []
        for i in range(count):
            stream = io.BytesIO()
            Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(stream, "JPEG")
            encoded.append(stream.getvalue())
        arrays[f"offsets_{part}"] = np.cumsum([0, *map(len, encoded)])
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"labels_{part}"] = np.arange(count, dtype=np.uint8)
    np.savez(folder / "cifar10_jpeg.npz", **arrays)


@pytest.mark.parametrize("write", [write_python, write_binary])
@pytest.mark.parametrize("nested", [True, False])
def test_public_batches(tmp_path: Path, write: object, nested: bool) -> None:
    kind = "py" if write is write_python else "bin"
    place = tmp_path / f"cifar-10-batches-{kind}" if nested else tmp_path
    place.mkdir(exist_ok=True)
    write(place)
    dataset = cifar10(tmp_path)
    assert dataset.train.images.shape == (10, 32, 32, 3)
    assert np.array_equal(dataset.train.images[2:4], PARTS["data_batch_2"][0])
    assert np.array_equal(dataset.test.images, PARTS["test_batch"][0])
    assert np.array_equal(dataset.test.labels, PARTS["test_batch"][1])
    assert len(dataset.classes) == 10


def test_jpegs_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jpeg(tmp_path)
    cache = tmp_path / "cache"
    first = cifar10(tmp_path, cache)
    assert first.train.images[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert first.test.labels.tolist() == [0, 1]
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
        second = cifar10(tmp_path, cache)
    assert np.array_equal(first.train.images, second.train.images)
    (store,) = cache.iterdir()
    store.write_bytes(store.read_bytes()[:100])
    assert np.array_equal(cifar10(tmp_path, cache).test.images, first.test.images)  # a damaged cache is made again


def test_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jpeg(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    cifar10(tmp_path)
    assert len([*(tmp_path / "xdg" / "bitlens").iterdir()]) == 1


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        cifar10(tmp_path)
    expected = f"{tmp_path}: must hold cifar10_jpeg.npz, data_batch_1 or data_batch_1.bin, not none of them"
    assert str(caught.value) == expected
    write_binary(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(DataError) as caught:
        cifar10(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'test_batch.bin'}: length must be a multiple of 3073 bytes, not 3"
    (tmp_path / "data_batch_5.bin").unlink()
    with pytest.raises(
        DataError, match=r"data_batch_5.bin: must be a CIFAR-10 binary batch \(No such file or directory\)"
    ):
        cifar10(tmp_path)


def test_a_damaged_jpeg_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "cifar10_jpeg.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"cifar10_jpeg.npz: must be an npz of CIFAR-10 JPEGs \(.*\)$"):
        cifar10(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"junk",
        b"\x80\x04X\xff\xff\xff\x7f",
        pickle.dumps({"data": [1]}),
        pickle.dumps([Path("x")]),
        pickle.dumps({"data": np.full((1, 3072), 0.7), "labels": [1]}),
        pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [1.9]}),
    ],
)
def test_a_python_batch_is_not_trusted(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "data_batch_1").write_bytes(raw)
    with pytest.raises(DataError, match=r"data_batch_1: must be a CIFAR-10 python batch \(.*\)$"):
        cifar10(tmp_path)


def test_an_unusable_cache_is_told(tmp_path: Path) -> None:
    write_jpeg(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file: cache must be a writable folder \(File exists\)"):
        cifar10(tmp_path, tmp_path / "file")
