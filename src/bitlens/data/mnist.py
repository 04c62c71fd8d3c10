# SPDX-License-Identifier: Apache-2.0
"""MNIST: 70,000 handwritten digits of 28x28, from `mnist.npz` or from the four public idx files (plain or .gz)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.data.dataset import DataError, Dataset, Split, folder
from bitlens.data.idx import read_idx

__all__ = ["mnist"]

_SIDE = 28


def mnist(path: str | Path | None) -> Dataset:
    """Read MNIST.

    Args:
        path: folder with mnist.npz, or with train-images-idx3-ubyte and its three companions.

    Returns:
        60,000 training and 10,000 test images, uint8 (N, 28, 28, 1).

    Raises:
        DataError: the files are not there or are damaged.
    """
    root = folder(path, "MNIST")
    packed = root / "mnist.npz"
    if packed.is_file():
        try:
            with packed.open("rb") as stream, np.load(stream) as arrays:
                parts = [_split(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test")]
        except DataError as error:
            raise DataError(f"{packed}: {error}") from error
        except Exception as error:  # zip, numpy and pickle each have their own
            raise DataError(f"{packed}: must be an npz with x_train, y_train, x_test, y_test") from error
    else:
        parts = [_idx(root, stem) for stem in ("train", "t10k")]
    try:
        return Dataset(parts[0], parts[1], tuple("0123456789"))
    except DataError as error:
        raise DataError(f"{packed if packed.is_file() else root}: {error}") from error


def _split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> Split:
    if images.shape[1:] != (_SIDE, _SIDE):
        raise DataError(f"images must be of {_SIDE}x{_SIDE}, not of shape {images.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be integers, not {labels.dtype}")
    return Split(images[..., None], labels.astype(np.int64))  # (N, 28, 28) -> (N, 28, 28, 1)


def _idx(root: Path, stem: str) -> Split:
    file = _find(root, f"{stem}-images-idx3-ubyte")
    images, labels = read_idx(file), read_idx(_find(root, f"{stem}-labels-idx1-ubyte"))
    try:
        return _split(images, labels)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _find(root: Path, name: str) -> Path:
    for candidate in (root / name, root / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(f"{root}: must hold mnist.npz or {name} (or {name}.gz), not neither")
