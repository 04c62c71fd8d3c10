# SPDX-License-Identifier: Apache-2.0
"""Tiny-ImageNet, 25 of its 200 classes: colour photographs of 64x64 pixels, 500 for training and 50 for testing each.

Reads `tiny_imagenet_25.npz` (the original JPEG files, grouped by class; decoded once into a cache). The labels of the
public test part are not published, so that its validation part is the test part here, as is usual.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bitlens.data.cache import Arrays, cached, short
from bitlens.data.dataset import DataError, Dataset, Split, folder
from bitlens.data.jpegs import decode_jpegs

__all__ = ["tinyimagenet"]

_FILE = "tiny_imagenet_25.npz"


def tinyimagenet(path: str | Path | None, cache: str | Path | None = None) -> Dataset:
    """Read the 25 classes of Tiny-ImageNet.

    Args:
        path: folder that holds the npz file.
        cache: folder for decoded images; the user's cache folder when None.

    Returns:
        12,500 training and 1,250 test images, uint8 (N, 64, 64, 3), in the file's order (shuffle them).

    Raises:
        DataError: the file is not there or damaged.
    """
    file = folder(path, "Tiny-ImageNet") / _FILE
    if not file.is_file():
        raise DataError(f"{file.parent}: must hold {_FILE}, not none")
    return cached(file, "tinyimagenet", cache, _decode, _from_arrays)


def _from_arrays(arrays: Any) -> Dataset:
    train, test = (Split(arrays[f"images_{part}"], arrays[f"labels_{part}"]) for part in ("train", "val"))
    return Dataset(train, test, tuple(str(name) for name in arrays["classes"]))


def _decode(file: Path) -> Arrays:
    try:
        with file.open("rb") as stream, np.load(stream) as packed:
            names = [str(name).split(",")[0] for name in packed["class_names"]]  # the first of a synset's names
    except Exception as error:  # zipfile has several of its own
        raise DataError(f"{file}: must be an npz of Tiny-ImageNet JPEGs ({short(error)})") from error
    return {**decode_jpegs(file, "Tiny-ImageNet", ("train", "val"), 64), "classes": np.array(names)}
