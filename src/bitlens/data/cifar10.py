# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10: 60,000 colour images of 32x32 in ten classes.

Reads the first of these that a folder holds: `cifar10_jpeg.npz` (JPEG copies, grouped by class; decoded once into a
cache), `cifar-10-batches-py` (the public Python batches) or `cifar-10-batches-bin` (the public binary batches).
"""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import Arrays, cached, short
from bitlens.data.dataset import DataError, Dataset, Split, folder
from bitlens.data.jpegs import decode_jpegs

__all__ = ["CLASSES", "cifar10"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ROW = 3 * 32 * 32
_UInt8 = npt.NDArray[np.uint8]
_Batch = tuple[_UInt8, npt.NDArray[np.int64]]


def cifar10(path: str | Path | None, cache: str | Path | None = None) -> Dataset:
    """Read CIFAR-10.

    Args:
        path: folder that holds one of the forms above, directly or as `cifar-10-batches-py` / `-bin`.
        cache: folder for decoded images; the user's cache folder when None.

    Returns:
        50,000 training and 10,000 test images, uint8 (N, 32, 32, 3), in the file's order (shuffle them).

    Raises:
        DataError: nothing of CIFAR-10 is there, or a file is damaged.
    """
    root = folder(path, "CIFAR-10")
    if (root / "cifar10_jpeg.npz").is_file():
        return cached(root / "cifar10_jpeg.npz", "cifar10", cache, _decode, _from_arrays)
    for kind, ending, read in (("py", "", _python_batch), ("bin", ".bin", _binary_batch)):
        for place in (root / f"cifar-10-batches-{kind}", root):
            if (place / f"data_batch_1{ending}").is_file():
                return _dataset(place, ending, read)
    raise DataError(f"{root}: must hold cifar10_jpeg.npz, data_batch_1 or data_batch_1.bin, not none of them")


def _dataset(place: Path, ending: str, read: Callable[[Path], _Batch]) -> Dataset:
    parts = [read(place / f"data_batch_{i}{ending}") for i in range(1, 6)]
    train = Split(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    test = Split(*read(place / f"test_batch{ending}"))
    try:
        return Dataset(train, test, CLASSES)
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def _images(rows: _UInt8) -> _UInt8:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))  # (N, 3072) -> (N, 32, 32, 3)


def _python_batch(file: Path) -> _Batch:
    try:
        with file.open("rb") as stream:
            batch = _ArrayUnpickler(stream, encoding="latin1").load()
        pixels, labels = np.asarray(batch["data"]), np.asarray(batch["labels"])
        if pixels.dtype != np.uint8 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"data uint8 and labels integers, not {pixels.dtype} and {labels.dtype}")
        return _images(pixels), labels.astype(np.int64)
    except Exception as error:  # a damaged pickle makes the reader raise anything
        raise DataError(f"{file}: must be a CIFAR-10 python batch ({short(error)})") from error


class _ArrayUnpickler(pickle.Unpickler):
    """Loads arrays and plain containers only: a data file must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.empty(0).__reduce__()[0]}
        if module.split(".")[0] == "numpy" and name in known:
            return known[name]
        if (module, name) == ("_codecs", "encode"):
            return codecs.encode
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _binary_batch(file: Path) -> _Batch:
    try:
        raw = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{file}: must be a CIFAR-10 binary batch ({short(error)})") from error
    if raw.size == 0 or raw.size % (_ROW + 1):
        raise DataError(f"{file}: length must be a multiple of {_ROW + 1} bytes, not {raw.size}")
    rows = raw.reshape(-1, _ROW + 1)
    return _images(rows[:, 1:]), rows[:, 0].astype(np.int64)


def _from_arrays(arrays: Any) -> Dataset:
    train, test = (Split(arrays[f"images_{part}"], arrays[f"labels_{part}"]) for part in ("train", "test"))
    return Dataset(train, test, CLASSES)


def _decode(file: Path) -> Arrays:
    return decode_jpegs(file, "CIFAR-10", ("train", "test"), 32)
