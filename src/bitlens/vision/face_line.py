# SPDX-License-Identifier: Apache-2.0
"""From frames to captures: every frame is searched, faces are joined to tracks and judged, each track's best shots kept.

>>> line = FaceLine(FaceDetector(), Clearness(), Pose())         # doctest: +SKIP
>>> for frame in frames:                                         # doctest: +SKIP
...     for capture in line.look(frame).captures: print(capture.kind, capture.shot.score)
>>> line.finish()                                                # doctest: +SKIP
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bitlens.vision.best_shot import BestShots, Capture, Shot, ShotWeights
from bitlens.vision.crop import crop_faces
from bitlens.vision.exposure import exposure
from bitlens.vision.pose import Angles
from bitlens.vision.records import Box, Face, Frame
from bitlens.vision.tracker import Tracker, TrackEvent

__all__ = ["ClearnessNet", "DetectorNet", "FaceLine", "Looked", "PoseNet", "cut"]

Bytes = npt.NDArray[np.uint8]


class DetectorNet(Protocol):
    """Finds faces, as `FaceDetector` does."""

    @property
    def sure(self) -> float:
        """The score from which a face can be trusted."""

    def detect(self, luma: Bytes, /) -> Sequence[Face]:
        """Return the faces of a picture, uint8 (H, W)."""


class ClearnessNet(Protocol):
    """Scores crops, as `Clearness` does."""

    size: int
    margin: float

    def score(self, crops: Bytes, /) -> npt.NDArray[np.float64]:
        """Return the clearness (N,), 0 to 100, of crops, uint8 (N, size, size)."""


class PoseNet(Protocol):
    """Estimates the pose of crops, as `Pose` does."""

    size: int
    margin: float

    def estimate(self, crops: Bytes, /) -> Angles:
        """Return yaw, pitch, roll and frontality, (N,) each, of crops, uint8 (N, size, size)."""


@dataclass(frozen=True)
class Looked:
    """What a frame gave.

    Args:
        faces: all that were found, weak ones too.
        events: what became of the tracks.
        shots: the sure faces of tracks that were judged; their crops are cut only where a shot may be kept.
        captures: what is to be kept, by now.
    """

    faces: Sequence[Face]
    events: Sequence[TrackEvent]
    shots: Sequence[Shot]
    captures: Sequence[Capture]


class FaceLine:
    """The whole line for one video; it holds the video's tracks.

    Args:
        detector, clearness, pose: the nets.
        tracker: joins faces; None: a new one whose tracks begin at the score that the detector calls sure.
        best: chooses shots; None: likewise.
        weights: of a shot's score.
        surroundings: what a kept crop shows on each side of the face, as a share of its width and height.

    Attributes:
        seconds: time spent by stage: "detect", "track", "clearness", "pose", "choose".
    """

    def __init__(
        self,
        detector: DetectorNet,
        clearness: ClearnessNet,
        pose: PoseNet,
        *,
        tracker: Tracker | None = None,
        best: BestShots | None = None,
        weights: ShotWeights | None = None,
        surroundings: float = 0.4,
    ) -> None:
        self._detector, self._clearness, self._pose = detector, clearness, pose
        self._tracker, self._best = tracker or Tracker(start_score=detector.sure), best or BestShots()
        self._weights, self._surroundings = weights or ShotWeights(), surroundings
        self.seconds = dict.fromkeys(("detect", "track", "clearness", "pose", "choose"), 0.0)

    def look(self, frame: Frame, *, all_shots: bool = True) -> Looked:
        """Take the next frame.

        Args:
            frame: the picture.
            all_shots: judge every sure face of a track; if not, those alone that could be kept if they were frontal and clear, as
                their size and exposure are: the captures are the same.

        Raises:
            VisionError: it is not after the one before.
        """
        with self._timed("detect"):
            faces = self._detector.detect(frame.luma)
        with self._timed("track"):
            events = self._tracker.update(frame.number, faces)
        with self._timed("choose"):
            shots = [self._hoped(frame, event) for event in events if event.run]  # weak faces only continue tracks
            judged = self._wanted(shots, range(len(shots)), all_shots)
        with self._timed("pose"):  # before clearness, as it costs less and excludes more
            pose = self._pose.estimate(self._crops(frame, shots, judged, self._pose))
        with self._timed("choose"):
            for k, *angles in zip(judged, *pose, strict=True):
                yaw, pitch, roll, front = map(float, angles)
                score = self._score(shots[k], 100.0, front)
                shots[k] = replace(shots[k], yaw=yaw, pitch=pitch, roll=roll, frontality=front, score=score)
            judged = self._wanted(shots, judged, all_shots)
        with self._timed("clearness"):
            clear = self._clearness.score(self._crops(frame, shots, judged, self._clearness))
        with self._timed("choose"):
            for k, clearness in zip(judged, map(float, clear), strict=True):
                score = self._score(shots[k], clearness, shots[k].frontality)
                shots[k] = replace(shots[k], clearness=clearness, score=score)
            for k, shot in enumerate(shots):
                if self._best.wants(shot):
                    shots[k] = replace(shot, crop=cut(frame, shot.face.box, self._surroundings))
            captures = [capture for shot in shots for capture in self._best.add(shot)]
            captures += self._ended(events)
        return Looked(faces, events, [shots[k] for k in judged], captures)

    def finish(self) -> list[Capture]:
        """End all tracks, as at the end of the video, and return what they give."""
        return self._ended(self._tracker.finish())

    def _ended(self, events: Sequence[TrackEvent]) -> list[Capture]:
        return [capture for event in events if event.kind == "end" for capture in self._best.end(event.track)]

    def _hoped(self, frame: Frame, event: TrackEvent) -> Shot:
        """A shot at its best: of the size and exposure that it has, and as frontal and clear as can be."""
        exposed = exposure(frame.luma, event.face.box)
        shot = Shot(
            event.track, frame.number, frame.time, event.face, 100.0, 0.0, 0.0, 0.0, 100.0, exposed, 100.0, event.run
        )
        return replace(shot, score=self._score(shot, 100.0, 100.0))

    def _score(self, shot: Shot, clearness: float, frontality: float) -> float:
        return self._weights.score(clearness, frontality, math.sqrt(shot.face.box.area), shot.exposure)

    def _wanted(self, shots: Sequence[Shot], numbers: Sequence[int], every: bool) -> Sequence[int]:
        """Those of the numbers whose shots would be kept as they are. What is not kept is not kept with a lower score either."""
        return [k for k in numbers if every or self._best.wants(shots[k])]

    def _crops(self, frame: Frame, shots: Sequence[Shot], numbers: Sequence[int], net: ClearnessNet | PoseNet) -> Bytes:
        return crop_faces(frame.luma, [shots[k].face.box for k in numbers], net.size, net.margin)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - started


def cut(frame: Frame, box: Box, surroundings: float) -> Bytes:
    """Return a face with its surroundings in colour, uint8 (h, w, 3): what of it lies in the frame, at least one pixel.

    Args:
        frame: the picture.
        box: of the face.
        surroundings: how far to reach beyond the box on each side, as a share of its width and height.
    """
    height, width = frame.luma.shape
    across, down = surroundings * box.width, surroundings * box.height
    left, top = (int(min(max(0, at), end - 1)) for at, end in ((box.left - across, width), (box.top - down, height)))
    right = min(width, max(left + 1, math.ceil(box.right + across)))
    bottom = min(height, max(top + 1, math.ceil(box.bottom + down)))
    crop: Bytes = frame.colour()[top:bottom, left:right].copy()
    return crop
