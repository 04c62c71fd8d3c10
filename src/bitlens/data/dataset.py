# SPDX-License-Identifier: Apache-2.0
"""What a reader returns: uint8 images and labels in memory, and how errors of data are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["DataError", "Dataset", "Split", "folder", "spaced"]


class DataError(ValueError):
    """Missing or damaged data; the sentence names the file and what must be there."""


@dataclass(frozen=True)
class Split:
    """Images and labels of one part of a data set.

    Args:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError(f"images: must be uint8 (N, H, W, C), not {self.images.dtype} {self.images.shape}")
        if self.labels.shape != self.images.shape[:1]:
            raise DataError(f"labels: must be {len(self.images)} numbers, not {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A training part, a test part and the names of the classes; a label is the number of one."""

    train: Split
    test: Split
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, part in (("training", self.train), ("test", self.test)):
            if not len(part):
                raise DataError(f"{name} part must hold images, not none")
            if part.labels.min() < 0 or part.labels.max() >= len(self.classes):
                worst = part.labels.min() if part.labels.min() < 0 else part.labels.max()
                raise DataError(f"labels of the {name} part must be 0 to {len(self.classes) - 1}, not {worst}")


def spaced(count: int, limit: int | None) -> npt.NDArray[np.int64]:
    """Return the numbers of `limit` of so many images, evenly spaced, for many sets lie class by class; all when None."""
    chosen = count if limit is None else min(limit, count)
    return np.arange(chosen, dtype=np.int64) * count // max(chosen, 1)


def folder(path: str | Path | None, name: str) -> Path:
    """Return an existing data folder.

    Raises:
        DataError: no folder is given or it does not exist.
    """
    if path is None:
        raise DataError(f"{name}: a data folder must be given (--data DIR), not none")
    found = Path(path)
    if not found.is_dir():
        raise DataError(
            f"{found}: must be a folder with the {name} files, not {'a file' if found.exists() else 'missing'}"
        )
    return found
