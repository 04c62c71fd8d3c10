# SPDX-License-Identifier: Apache-2.0
"""Find faces in a brightness picture of any size, on the integer engine.

    >>> faces = FaceDetector(threads=1).detect(luma)            # uint8 (H, W)           # doctest: +SKIP
    >>> [(face.box, face.score) for face in faces]              # best first             # doctest: +SKIP
    [(Box(left=212.4, top=88.9, width=51.0, height=66.3), 0.94)]

The heat is compared with the threshold as integers, so that what is found is the same on every machine.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.runtime import Session
from bitlens.runtime.session import Source
from bitlens.runtime.tensor import Tensor, real_values
from bitlens.vision.decode import CHANNELS, PREFIX, Found, decode
from bitlens.vision.records import Box, Face, VisionError, check_luma
from bitlens.vision.shipped import shipped_program

__all__ = ["FaceDetector"]

_THRESHOLD = 0.5  # of a program that states none
_LOOKED_AT = (64, 64)  # a size to open a program at, to see what it is
_SIZES = 4  # sessions that are kept, one a size


class FaceDetector:
    """Runs a face detection program.

    A detector may be used by several threads at once. It keeps the sessions of the four sizes used last.

    Args:
        source: path of a `.bitlens` file, its bytes, or a `Program`; the one that comes with bitlens when None.
        threads: of the engine; None: as many as the process may use.
        threshold: least score of a face, above 0 and below 1; None: the program's own (`sure`).

    Attributes:
        sure: the threshold that the program states, from which about two in 100 photographs without faces give a false alarm;
            0.5 if it states none.

    Raises:
        VisionError: a threshold is out of range, or the program is no face detector.
        bitlens.runtime.SessionError: the file is damaged.
        OSError: the file cannot be read.
    """

    def __init__(
        self, source: Source | None = None, threads: int | None = None, threshold: float | None = None
    ) -> None:
        self._source = shipped_program("face_detector") if source is None else source
        self._threads = threads
        self._sessions: OrderedDict[tuple[int, int], Session] = (
            OrderedDict()
        )  # by (height, width), used last at the end
        self._lock = Lock()  # of the sessions
        session = Session(self._source, threads=threads, size=_LOOKED_AT)
        outputs = _checked(session)
        self.sure = _stated(session.metadata)
        if threshold is not None and not 0 < threshold < 1:
            raise VisionError(f"threshold: must be above 0 and below 1, not {threshold}")
        least = self.sure if threshold is None else threshold
        self._least = {name: _least_heat(tensor, least) for name, tensor in outputs.items()}

    def detect(self, luma: npt.NDArray[np.uint8]) -> list[Face]:
        """Return the faces of a picture, best first, their boxes cut at its borders.

        Args:
            luma: brightness, uint8 (H, W), of any size and stride.

        Raises:
            VisionError: it is no such array.
            bitlens.runtime.SessionError: it is too large for the engine.
        """
        check_luma(luma)
        session = self._session(luma.shape)
        maps, outputs = session.run(luma[None, :, :, None]), session.outputs
        found = decode(
            {name: cells[0] for name, cells in maps.items()},  # (h, w, 15), integers
            self._least,
            lambda name, cells: real_values(cells, outputs[name]).astype(np.float64),
        )
        return _faces(found, luma.shape)

    def _session(self, size: tuple[int, int]) -> Session:
        with self._lock:
            session = self._sessions.pop(size, None) or Session(self._source, threads=self._threads, size=size)
            self._sessions[size] = session
            while len(self._sessions) > _SIZES:
                self._sessions.popitem(last=False)
            return session


def _checked(session: Session) -> dict[str, Tensor]:
    """The outputs of a session that is a face detector's."""
    inputs, outputs = [*session.inputs.values()], session.outputs
    if len(inputs) != 1 or inputs[0].shape[2] != 1 or inputs[0].grid != Grid.unsigned(8):
        raise VisionError("detector: model must have one input of luma, uint8 with one channel, not another")
    for name, tensor in outputs.items():
        if not name.removeprefix(PREFIX).isdecimal() or tensor.shape[2] != CHANNELS:
            raise VisionError(
                f"detector: outputs must be named {PREFIX}N and have {CHANNELS} channels, not {name} with {tensor.shape[2]}"
            )
    return outputs


def _stated(metadata: Mapping[str, str]) -> float:
    """The threshold that a program states."""
    text = metadata.get("threshold", str(_THRESHOLD))
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 < threshold < 1:
        raise VisionError(f"detector: the model's threshold must be above 0 and below 1, not {text}")
    return threshold


def _least_heat(tensor: Tensor, threshold: float) -> int:
    """The least integer of the heat whose score reaches a threshold."""
    logit = math.log(threshold / (1 - threshold))
    return math.ceil((logit - float(tensor.offset[0])) / float(tensor.scale[0]))


def _faces(found: Found, size: tuple[int, int]) -> list[Face]:
    faces = []
    corners = found.boxes.clip(0, [size[1], size[0]] * 2)
    for (left, top, right, bottom), points, heat in zip(
        corners.tolist(), found.landmarks, found.heat.tolist(), strict=True
    ):
        if right > left and bottom > top:
            box = Box(left, top, right - left, bottom - top)
            faces.append(Face(box, points.astype(np.float32), 1 / (1 + math.exp(-heat))))
    return faces
