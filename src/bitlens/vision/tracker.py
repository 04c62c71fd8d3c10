# SPDX-License-Identifier: Apache-2.0
"""Faces of successive frames joined to tracks, one a person as long as the person stays in sight.

Each track foretells its box by constant velocity. Faces of high score are joined to the tracks they overlap most, best pair
first; those of low score, often blurred or half hidden, then to tracks seen in the frame before that got none, and never begin
a track (Source: Zhang et al., ByteTrack, 2022, section 3). Nothing is random: the same faces give the same tracks.

    >>> tracker = Tracker()
    >>> [event.kind for event in tracker.update(0, faces)]     # doctest: +SKIP
    ['new', 'new']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitlens.vision.decode import overlaps
from bitlens.vision.records import Face, VisionError

__all__ = ["WEAK", "TrackEvent", "Tracker"]

WEAK = 0.5  # share of the score that begins a track, from which a face can continue one, where nothing else is said

_GAIN = 0.5  # share of the newest step in a velocity


@dataclass(frozen=True)
class TrackEvent:
    """What a frame did to a track.

    Args:
        kind: "new" at its first face, "update" at every further one, "end" when it is given up.
        track: its number, counted from 0 in the order of beginning.
        frame: the face's; at the end that of the last face.
        face: the face joined to it; at the end the last one.
        run: frames in a row, up to this one, in which its face could have begun a track; 0 for a weak face and at the end.
    """

    kind: Literal["new", "update", "end"]
    track: int
    frame: int
    face: Face
    run: int = 0


@dataclass
class _Track:
    number: int
    frame: int  # of the last face
    face: Face
    velocity: tuple[float, float] | None = None  # pixels a frame; None until a second face
    run: int = 1

    def foretold(self, frame: int) -> tuple[float, float, float, float]:
        """The box in a later frame: left, top, right, bottom."""
        box, (x, y), steps = self.face.box, self.velocity or (0.0, 0.0), frame - self.frame
        left, top = box.left + steps * x, box.top + steps * y
        return left, top, left + box.width, top + box.height

    def join(self, frame: int, face: Face) -> None:
        (x, y), (old_x, old_y), steps = face.box.centre, self.face.box.centre, frame - self.frame
        step = (x - old_x) / steps, (y - old_y) / steps
        old = self.velocity or step
        self.velocity = (1 - _GAIN) * old[0] + _GAIN * step[0], (1 - _GAIN) * old[1] + _GAIN * step[1]
        self.frame, self.face = frame, face


class Tracker:
    """Joins faces to tracks, a frame at a time.

    Args:
        start_score: from which a face can begin a track, such as `FaceDetector.sure`.
        least_score: from which a face can continue one; below it a face is ignored. None: half of start_score.
        least_overlap: intersection over union of a face and a foretold box, from which they may be joined; above 0, up to 1.
        patience: frames that a track outlives its last face.

    Raises:
        VisionError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        start_score: float = 0.5,
        least_score: float | None = None,
        least_overlap: float = 0.25,
        patience: int = 15,
    ) -> None:
        least_score = WEAK * start_score if least_score is None else least_score
        if not least_score <= start_score:
            raise VisionError(f"tracker: least_score must be start_score {start_score} at most, not {least_score}")
        if not 0 < least_overlap <= 1:
            raise VisionError(f"tracker: least_overlap must be above 0 and 1 at most, not {least_overlap}")
        if patience < 0:
            raise VisionError(f"tracker: patience must be 0 or more frames, not {patience}")
        self._start_score, self._least_score = start_score, least_score
        self._least_overlap, self._patience = least_overlap, patience
        self._tracks: list[_Track] = []  # by number
        self._count = 0
        self._frame: int | None = None

    def update(self, frame: int, faces: Sequence[Face]) -> list[TrackEvent]:
        """Take the faces of a frame.

        Args:
            frame: its number, above that of the frame before; frames left out count as passed.
            faces: all its faces, of any score.

        Returns:
            What happened, by track number; nothing for tracks that wait.

        Raises:
            VisionError: the frame is not after the one before.
        """
        if self._frame is not None and frame <= self._frame:
            raise VisionError(f"tracker: frame must be after {self._frame}, not {frame}")
        before, self._frame = self._frame, frame
        strong = [face for face in faces if face.score >= self._start_score]
        weak = [face for face in faces if self._least_score <= face.score < self._start_score]
        joined = self._match(frame, self._tracks, strong)
        waiting = [track for track in self._tracks if track.number not in joined and track.frame == before]
        joined |= self._match(frame, waiting, weak)
        taken = {id(face) for face in joined.values()}

        events, kept = [], []
        for track in self._tracks:
            if track.number in joined:
                face = joined[track.number]
                run = track.run if track.frame == before else 0
                track.run = run + 1 if face.score >= self._start_score else 0
                track.join(frame, face)
                events.append(TrackEvent("update", track.number, frame, face, track.run))
            elif frame - track.frame > self._patience:
                events.append(TrackEvent("end", track.number, track.frame, track.face))
                continue
            kept.append(track)
        for face in strong:
            if id(face) not in taken:
                kept.append(_Track(self._count, frame, face))
                events.append(TrackEvent("new", self._count, frame, face, run=1))
                self._count += 1
        self._tracks = kept
        return events

    def finish(self) -> list[TrackEvent]:
        """End all tracks, as at the end of a video; the numbers of later tracks go on."""
        tracks, self._tracks, self._frame = self._tracks, [], None
        return [TrackEvent("end", track.number, track.frame, track.face) for track in tracks]

    def _match(self, frame: int, tracks: Sequence[_Track], faces: Sequence[Face]) -> dict[int, Face]:
        """Join pairs of most overlap first; of equal ones the older track, then the earlier face, first."""
        if not tracks or not faces:
            return {}
        foretold = np.array([track.foretold(frame) for track in tracks])
        boxes = np.array([face.box.corners for face in faces])
        shared = overlaps(foretold, boxes)  # (tracks, faces)
        rows, columns = np.nonzero(shared >= self._least_overlap)
        joined: dict[int, Face] = {}
        used = set()
        for pair in np.lexsort((columns, rows, -shared[rows, columns])):
            track, column = tracks[rows[pair]].number, int(columns[pair])
            if track not in joined and column not in used:
                joined[track] = faces[column]
                used.add(column)
        return joined
