# SPDX-License-Identifier: Apache-2.0
"""A net that looks at crops of faces: what clearness and pose share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.runtime import Session
from bitlens.runtime.session import Source
from bitlens.vision.crop import level
from bitlens.vision.records import VisionError
from bitlens.vision.shipped import shipped_program

__all__ = ["CropNet"]


class CropNet:
    """Opens a program and gives its figures of crops.

    Args:
        source: a compiled program; None: the one that comes with bitlens.
        threads: of the engine.

    Raises:
        bitlens.runtime.SessionError: the program is damaged.
        OSError: it cannot be read.
    """

    name: str
    size: int
    margin: float

    def __init__(self, source: Source | None = None, threads: int | None = 1) -> None:
        self.session = Session(shipped_program(self.name) if source is None else source, threads=threads)

    def _run(self, crops: npt.NDArray[np.uint8], figures: int) -> npt.NDArray[np.float64]:
        """Figures (figures, N) of crops, uint8 (N, size, size) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        if crops.dtype != np.uint8 or crops.shape[1:] != (self.size, self.size):
            raise VisionError(
                f"crops: must be uint8 (N, {self.size}, {self.size}), not {crops.dtype} {tuple(crops.shape)}"
            )
        if not len(crops):
            return np.zeros((figures, 0))
        (found,) = self.session.run(level(crops)[..., None], real=True).values()  # (N, 1, 1, figures)
        return np.asarray(found.reshape(-1, figures).astype(np.float64).T)
