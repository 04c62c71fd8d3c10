# SPDX-License-Identifier: Apache-2.0
"""Folders of images as ImageNet is usually unpacked: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`.

The images stay on disk; a picture is decoded when it is asked for. Classes are numbered in the order of their names.

    >>> dataset = imagefolder("imagenet", classes=1000)
    >>> read_picture(dataset.train.files[0]).mode
    'RGB'
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import short
from bitlens.data.dataset import DataError, folder

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FileDataset", "FileSplit", "imagefolder", "read_picture"]

_PARTS = ("train", "val")
_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")


@dataclass(frozen=True)
class FileSplit:
    """Files and labels of one part of a data set.

    Args:
        files: paths of pictures of any size.
        labels: int64 (N,).
    """

    files: tuple[str, ...]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FileDataset:
    """A training part, a test part and the names of the classes."""

    train: FileSplit
    test: FileSplit
    classes: tuple[str, ...]


def imagefolder(path: str | Path | None, classes: int | None = None) -> FileDataset:
    """List a folder of images; `val` is the test part. Hidden files, and files with other endings, are no images.

    Args:
        path: folder that holds train and val, each with a folder of images for every class.
        classes: how many there must be; any number when None.

    Returns:
        The files, ordered by class, then by name. A class may be missing in val.

    Raises:
        DataError: a folder is missing, empty or unreadable, or the classes are not those that they must be.
    """
    root = folder(path, "ImageNet")
    missing = [part for part in _PARTS if not (root / part).is_dir()]
    if missing:
        raise DataError(f"{root}: must hold the folders train and val, not lack {' and '.join(missing)}")
    train, val = (root / part for part in _PARTS)
    names = _classes(train)
    if classes is not None and len(names) != classes:
        raise DataError(f"{train}: must hold {classes} folders, one for each class, not {len(names)}")
    tested = _classes(val)
    for name in tested:
        if name not in names:
            raise DataError(f"{val / name}: must be a class that {train} holds too, not of val alone")
    return FileDataset(_split(train, names, names), _split(val, tested, names), tuple(names))


def read_picture(file: str) -> Image.Image:
    """Decode a picture to RGB.

    Raises:
        DataError: it is missing or damaged.
    """
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except Exception as error:  # Pillow has many of its own
        raise DataError(f"{file}: must be an image ({short(error)})") from error


def _classes(part: Path) -> list[str]:
    names = sorted(entry.name for entry in _entries(part) if entry.is_dir())
    if not names:
        raise DataError(f"{part}: must hold a folder for each class, not none")
    return names


def _split(part: Path, names: list[str], numbered: list[str]) -> FileSplit:
    """The files of the classes `names`; a label is a class's place in `numbered`."""
    numbers = {name: number for number, name in enumerate(numbered)}
    files: list[str] = []
    labels: list[int] = []
    for name in names:
        found = sorted(entry.path for entry in _entries(part / name) if entry.name.lower().endswith(_ENDINGS))
        if not found:
            raise DataError(f"{part / name}: must hold images ({', '.join(_ENDINGS)}), not none")
        files += found
        labels += [numbers[name]] * len(found)
    return FileSplit(tuple(files), np.array(labels, np.int64))


def _entries(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{place}: must be a readable folder ({short(error)})") from error
